"""Describes what changed between status reports of the programs."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from deploy.local.stack.supervisor import Process


class StatusChanges:
    """Compares each status report with what is known of the programs so far."""

    def __init__(self, started: Mapping[str, Process], logs: Path) -> None:
        """`started` is the status right after the start, when every program with a process is up."""
        self._logs = logs
        self._known = {name: _up(process) if process.pid else process for name, process in started.items()}

    def report(self, now: Mapping[str, Process]) -> Iterator[str]:
        """One line for each program that ended or was restarted since the last report."""
        for name, process in now.items():
            before = self._known.get(name, process)
            self._known[name] = _settled(before, process)
            if change := _change(before, self._known[name]):
                yield f"{name} {change}. Its log is {self._logs / f'{name}.log'}"


def _up(process: Process) -> Process:
    return msgspec.structs.replace(process, statename="RUNNING")


def _settled(before: Process, now: Process) -> Process:
    """supervisord calls a program STARTING for its first second, also one that is known to be up."""
    is_known_up = before.statename == "RUNNING" and before.pid == now.pid
    return _up(now) if is_known_up and now.statename == "STARTING" else now


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
