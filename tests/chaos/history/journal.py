"""The file of a history: one JSON line for each thing that happened, appended at once, so a killed run keeps it."""

import itertools
import os
import time
from pathlib import Path

import msgspec

from converto_core.conversion.record import Status
from tests.chaos.history.call import Asked, Damaged, Ended, Line, Published

_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


class BrokenJournal(Exception):
    """Raised when a line other than the last one is not a line of a history."""


class Journal:
    """Writes a history; one process writes, from one asyncio loop."""

    def __init__(self, path: Path) -> None:
        """Open the file; a history that exists is continued with the next number."""
        ended = [line.number for line in read_lines(path) if isinstance(line, Asked)] if path.exists() else []
        self._numbers = itertools.count(max(ended, default=0) + 1)
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._drop_torn_line()

    def begin(self, **fields: object) -> int:
        """Append a call that is sent now; the fields are those of `Asked`. Return its number."""
        number = next(self._numbers)
        self.write(msgspec.convert({"type": "asked", "number": number, "at_s": time.monotonic(), **fields}, Asked))
        return number

    def end(self, ended: Ended) -> None:
        """Append how a call ended."""
        self.write(ended)

    def publish(self, conversion_id: str, status: Status, token: int) -> None:
        """Append a live event from the broker."""
        self.write(Published(at_s=time.monotonic(), id=conversion_id, status=status, token=token))

    def damage(self, object_key: str) -> None:
        """Append that a fault is about to remove or replace this object; call it before the fault."""
        self.write(Damaged(at_s=time.monotonic(), object_key=object_key))

    def write(self, line: Line) -> None:
        """Append one line with one system call."""
        os.write(self._descriptor, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file; what comes later is lost."""
        os.close(self._descriptor)

    def _drop_torn_line(self) -> None:
        """Remove what a killed writer left of its last line, or the next line would be appended to it."""
        size = os.fstat(self._descriptor).st_size
        whole = os.pread(self._descriptor, size, 0).rfind(b"\n") + 1
        os.ftruncate(self._descriptor, whole)


def read_lines(path: Path) -> list[Line]:
    """Return all lines in the order of writing, without a torn last one. Raises `BrokenJournal`."""
    lines = path.read_bytes().split(b"\n")
    last = len(lines) - 1  # what follows the last newline: nothing, or a torn line
    return [_decoded(line, number) for number, line in enumerate(lines[:last], start=1)]


def _decoded(line: bytes, number: int) -> Line:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        raise BrokenJournal(f"line {number} is not part of a history: {error}") from error
