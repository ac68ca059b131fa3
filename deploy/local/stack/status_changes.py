"""Describes what changed between two status reports of the programs."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local.stack.supervisor import Process


def changes(before: Mapping[str, Process], now: Mapping[str, Process], logs: Path) -> Iterator[str]:
    """One line for each program that ended, was restarted, or was given up."""
    for name, process in now.items():
        change = _change(before.get(name, process), process)
        if change:
            yield f"{name} {change}. Its log is {logs / f'{name}.log'}"


def _change(before: Process, now: Process) -> str:
    if now.statename in {"STOPPING", "STOPPED"}:  # requested
        return ""
    if now.statename == "FATAL" and before.statename != "FATAL":
        return f"keeps ending and is given up ({now.how_it_ended})"
    if before.pid and not now.pid:
        return f"(pid {before.pid}) ended unexpectedly ({now.how_it_ended}) and is being restarted"
    if before.pid != now.pid and before.pid:
        return f"(pid {before.pid}) ended unexpectedly and runs again as pid {now.pid}"
    return f"runs again as pid {now.pid}" if before.pid != now.pid else ""
