"""Named points at which a process crashes when that was requested.

A request is a file. The process that renames it kills itself with SIGKILL, so exactly one does, in the middle of its
work. Production code has no crash points: the wrappers in `ports.py` put them around its ports.
"""

import os
import signal
from pathlib import Path

from tests.chaos.report.journal import Journal

WORKER_POINTS = (
    "received",
    "claimed",
    "acknowledged",
    "downloading",
    "converting",
    "uploading",
    "before completion",
    "after completion",
)
API_POINTS = ("before insert", "after insert", "after publish")


class CrashPoints:
    """The crash requests in one folder, as the services see them."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder, self._journal = folder, journal

    def crash_if_requested(self, point: str, run: str = "") -> None:
        """Crash if that was requested; `run` names what this process holds (`<conversion>-<token>`)."""
        path = _path(self._folder, point)
        try:
            path.rename(path.with_suffix(".taken"))
        except FileNotFoundError:
            return
        self.crash(point, run)

    def crash(self, point: str, run: str = "") -> None:
        """Record the crash in the journal and kill this process."""
        self._journal.note("crashed", run, point)
        os.kill(os.getpid(), signal.SIGKILL)


class CrashRequest:
    """One crash request, as the run sees it."""

    def __init__(self, folder: Path, point: str) -> None:
        self._path = _path(folder, point)
        self._taken = self._path.with_suffix(".taken")

    def make(self) -> None:
        """Make the next process at this point crash."""
        self._taken.unlink(missing_ok=True)
        self._path.touch()

    def withdraw(self) -> None:
        """Withdraw the request."""
        self._path.unlink(missing_ok=True)

    @property
    def is_taken(self) -> bool:
        """True when a process has crashed."""
        return self._taken.exists()


def _path(folder: Path, point: str) -> Path:
    return folder / f"{point.replace(' ', '-')}.wanted"
