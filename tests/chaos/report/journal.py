"""A journal of what happened inside the processes of the suite, one line each, in one file that outlives them.

Each line is appended with one write (O_APPEND), so several processes may write and a killed one leaves whole lines.
Times are of the machine's monotonic clock, which all processes share.
"""

import os
import time
from pathlib import Path

import msgspec


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
    """The journal file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, what: str, run: str, detail: str = "") -> None:
        """Append one line."""
        line = msgspec.json.encode(Entry(time.monotonic(), os.getpid(), what, run, detail)) + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def read(self) -> list[Entry]:
        """Return all lines so far in order of time."""
        if not self._path.exists():
            return []
        lines = self._path.read_bytes().splitlines()
        return sorted((msgspec.json.decode(line, type=Entry) for line in lines), key=lambda entry: entry.at_s)
