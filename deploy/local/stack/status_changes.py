"""Describes what changed between two status reports of the programs."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from deploy.local.stack.supervisor import Process


def changes(before: Mapping[str, Process], now: Mapping[str, Process], logs: Path) -> Iterator[str]:
    """One line for each program that ended or was restarted."""
    for name, process in now.items():
        change = _change(before.get(name, process), process)
        if change:
            yield f"{name} {change}. Its log is {logs / f'{name}.log'}"


def started(processes: Mapping[str, Process]) -> dict[str, Process]:
    """The status right after a start: supervisord calls a healthy program STARTING for its first second."""
    return {
        name: msgspec.structs.replace(process, statename="RUNNING") if process.pid else process
        for name, process in processes.items()
    }


def _change(before: Process, now: Process) -> str:
    """A program that ends again and again at its start is told once, and again when it stays."""
    if now.statename in {"STOPPING", "STOPPED"}:  # requested
        return ""
    is_other = before.pid != now.pid
    if before.statename == "RUNNING" and is_other and now.statename != "RUNNING":
        return f"(pid {before.pid}) ended unexpectedly ({now.how_it_ended}) and is started again until it stays"
    if before.statename == "RUNNING" and is_other:
        return f"(pid {before.pid}) ended unexpectedly and runs again as pid {now.pid}"
    return f"runs again as pid {now.pid}" if now.statename == "RUNNING" != before.statename else ""
