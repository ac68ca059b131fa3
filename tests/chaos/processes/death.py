"""Where a process of the suite may be told to die: named points, a request for each, taken by whoever is there first.

A request is a file. The process that manages to rename it dies there by SIGKILL, so exactly one does, in the middle of
whatever it was about to do. Production code knows nothing of this: the entries `mortal_*.py` put it around its ports.
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


class Death:
    """The requests in one folder, as the processes that may die see them."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder, self._journal = folder, journal

    def may_come(self, point: str, run: str = "") -> None:
        """Die here if that was asked for; `run` names what this process holds (`<conversion>-<token>`)."""
        path = _path(self._folder, point)
        try:
            path.rename(path.with_suffix(".taken"))
        except FileNotFoundError:
            return
        self.come(point, run)

    def come(self, point: str, run: str = "") -> None:
        """Die at once and leave a note of it."""
        self._journal.note("died", run, point)
        os.kill(os.getpid(), signal.SIGKILL)


class DeathRequest:
    """One request, as the conductor sees it."""

    def __init__(self, folder: Path, point: str) -> None:
        self._path = _path(folder, point)
        self._taken = self._path.with_suffix(".taken")

    def make(self) -> None:
        """From now on the next process at this point dies."""
        self._taken.unlink(missing_ok=True)
        self._path.touch()

    def withdraw(self) -> None:
        """Nobody dies any more."""
        self._path.unlink(missing_ok=True)

    @property
    def is_taken(self) -> bool:
        """Whether somebody died of it."""
        return self._taken.exists()


def _path(folder: Path, point: str) -> Path:
    return folder / f"{point.replace(' ', '-')}.wanted"
