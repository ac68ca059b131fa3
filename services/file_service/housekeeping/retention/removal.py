"""What goes when housekeeping works: found first, so that a dry run and a real one agree. It knows no rule."""

from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from typing import Protocol

import msgspec

BATCH = 200
"""How many records one question to the database brings."""

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


class Kind(StrEnum):
    """What can go. Results are those of a conversion whose record stays, as expired."""

    CONVERSION = "conversion"
    RESULTS = "results"
    FILE = "file"
    OBJECT = "object"
    UPLOAD = "multipart_upload"
    ANSWER = "answer"
    HISTORY = "history"
    CACHE_ENTRY = "cache_entry"
    WORKER = "worker"


class RemovedThing(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes: its id or key, since when it is as it is (ms), and why it goes."""

    kind: Kind
    id: str
    since_ms: int
    reason: str
    size_bytes: int = 0


class Removal(msgspec.Struct, frozen=True):
    """Things that go together. `go` takes them away if they still may go, and tells how many did; it may run twice."""

    leaving: tuple[RemovedThing, ...]
    go: Callable[[], Awaitable[int]]


class Rule(Protocol):
    """One reason for things to go."""

    def departures(self, now_ms: int) -> AsyncIterator[Removal]:
        """All that may go at this time, in bounded batches; finding changes nothing."""


def spoken(duration_s: float) -> str:
    """A duration as people say it: `7 days`, `24 hours`, `90 seconds`."""
    for unit_s, name in ((DAY_S, "days"), (HOUR_S, "hours"), (MINUTE_S, "minutes")):
        if duration_s >= 2 * unit_s:
            return f"{duration_s / unit_s:g} {name}"
    return f"{duration_s:g} seconds"
