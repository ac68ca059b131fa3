"""Finds and ends what a crashed stack left running, by the mark in its environment. Knows no names of programs."""

import contextlib
import os
import select
import signal
from pathlib import Path

_END_S = 5.0  # longer takes only a process that is stuck in the kernel


def orphans(root: Path) -> list[int]:
    """Processes of the stack in this state folder, this one left out; on other systems than Linux none are found."""
    mark = b"CONVERTO_STACK=" + os.fsencode(root)
    return [pid for pid in _all_pids() if pid != os.getpid() and mark in _environment_of(pid)]


def kill_orphans(root: Path) -> None:
    """SIGKILL all of them and wait until they are gone; repeats as long as one could start another meanwhile."""
    while pids := orphans(root):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                _end(pid)


def _end(pid: int) -> None:
    """Kill and wait for the very end: a dying process loses its environment first and its listening sockets last."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], _END_S)
    finally:
        os.close(descriptor)


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _environment_of(pid: int) -> list[bytes]:
    """A process's variables; none for one that has ended, even when nobody has waited for it yet."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
