"""Finds and kills processes that a crashed stack left running, by CONVERTO_STACK in their environment."""

import contextlib
import os
import select
import signal
from pathlib import Path

_END_S = 5.0  # only a process stuck in the kernel takes longer


def find_orphans(root: Path) -> list[int]:
    """Processes of the stack in this state folder, except this one; finds none on systems other than Linux."""
    mark = b"CONVERTO_STACK=" + os.fsencode(root)
    return [pid for pid in _all_pids() if pid != os.getpid() and mark in _environment_of(pid)]


def kill_orphans(root: Path) -> None:
    """SIGKILL all of them and wait; repeats, because one may have started another meanwhile."""
    while pids := find_orphans(root):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                _end(pid)


def _end(pid: int) -> None:
    """Kill and wait for the exit: a dying process loses its environment first and its listening sockets last."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], _END_S)
    finally:
        os.close(descriptor)


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _environment_of(pid: int) -> list[bytes]:
    """The variables of a process; none for one that has ended, zombies included."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
