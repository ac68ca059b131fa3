"""Journals of a run: files of JSON lines that outlive the processes that write them.

Each line is appended with one write (O_APPEND), so several processes may write and a killed one leaves whole lines.
Times are of the machine's monotonic clock, which all processes share.
"""

import os
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.chaos.report.entries import Line

T = TypeVar("T")

PROCESSES, RUN, HISTORY = "journal", "run.jsonl", "history.jsonl"
"""The file of the processes under test, that of the run itself, and that of what clients asked and were told."""


class Entry(msgspec.Struct, frozen=True):
    """One line. `what` is claimed, started (an engine), ended or crashed; `run` is `<conversion>-<token>`, or empty."""

    at_s: float
    pid: int
    what: str
    run: str
    detail: str

    @property
    def conversion(self) -> str:
        """The id of the conversion."""
        return self.run.rpartition("-")[0]

    @property
    def token(self) -> int:
        """The fencing token of this run."""
        return int(self.run.rpartition("-")[2])


class Journal:
    """The journal of the processes under test."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, what: str, run: str, detail: str = "") -> None:
        """Append one line."""
        _append(self._path, Entry(time.monotonic(), os.getpid(), what, run, detail))

    def read(self) -> list[Entry]:
        """Return all lines so far in order of time."""
        return sorted(_read(self._path, Entry), key=lambda entry: entry.at_s)

    def held_by(self, pid: int) -> list[str]:
        """Return the runs that a process has claimed and not ended."""
        return held([entry for entry in self.read() if entry.pid == pid])


class RunJournal:
    """The journal of the run itself: its settings, clients, promises, faults and measurements."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, line: Line) -> None:
        """Append one line."""
        _append(self._path, line)

    def read(self) -> list[Line]:
        """Return all lines in the order of their writing."""
        return _read(self._path, Line)


def held(entries: list[Entry]) -> list[str]:
    """Return the runs that these entries of one process claim and do not end."""
    ended = {entry.run for entry in entries if entry.what == "ended"}
    return [entry.run for entry in entries if entry.what == "claimed" and entry.run not in ended]


def _append(path: Path, line: object) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(line) + b"\n")
    finally:
        os.close(descriptor)


def _read(path: Path, kind: type[T]) -> list[T]:
    """Return the lines of a journal; half a line at its end, of a writer without disk space, is left out."""
    if not path.exists():
        return []
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(line) for line in path.read_bytes().split(b"\n")[:-1] if line]
