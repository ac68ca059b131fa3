"""What retention rules find: removals, which a dry run lists and a real run executes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from enum import StrEnum
from typing import Protocol

import msgspec

from converto_core.errors import DependencyUnavailable, ObjectStoreUnavailable
from converto_core.ports.objects import StoredObject

BATCH = 200
"""How many records one database query returns."""

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


class Kind(StrEnum):
    """What can be removed. `RESULTS` are those of a conversion whose record stays, as expired."""

    CONVERSION = "conversion"
    RESULTS = "results"
    FILE = "file"
    OBJECT = "object"
    UPLOAD = "multipart_upload"
    ANSWER = "answer"
    HISTORY = "history"
    CACHE_ENTRY = "cache_entry"
    WORKER = "worker"


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """One record, object or upload to remove; `since_ms` is when it got into its present state."""

    kind: Kind
    id: str
    since_ms: int
    reason: str
    size_bytes: int = 0


def removed_object(entry: StoredObject, reason: str) -> Removed:
    """Describe the removal of one object."""
    return Removed(
        kind=Kind.OBJECT, id=entry.key, since_ms=entry.modified_at, size_bytes=entry.size_bytes, reason=reason
    )


def removed_objects(objects: Iterable[StoredObject], reason: str) -> list[Removed]:
    """Describe the removal of these objects."""
    return [removed_object(entry, reason) for entry in objects]


class Removal(msgspec.Struct, frozen=True):
    """What is removed together. `run` removes it if it still qualifies, returns how many, and is safe to repeat.

    `failure` is why a record could not be judged; nothing of it is removed then.
    """

    removed: tuple[Removed, ...]
    run: Callable[[], Awaitable[int]]
    failure: DependencyUnavailable | None = None
    record_id: str = ""

    @property
    def id(self) -> str:
        """The record that it is about, or the first of those that go together."""
        return self.record_id or (self.removed[0].id if self.removed else "")


async def judged(record_id: str, removal: Awaitable[Removal]) -> Removal:
    """Return the removal, or one with the failure: a rule goes on after an object that the store refuses."""
    try:
        return await removal
    except ObjectStoreUnavailable as error:
        return Removal((), _nothing, failure=error, record_id=record_id)


def nothing_of(record_id: str) -> Removal:
    """Return the removal of nothing."""
    return Removal((), _nothing, record_id=record_id)


async def _nothing() -> int:
    return 0


class Rule(Protocol):
    """One reason to remove something."""

    def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield everything that may be removed at this time, in bounded batches, without changing anything."""


def duration_text(duration_s: float) -> str:
    """Return a duration for people: `7 days`, `24 hours`, `90 seconds`."""
    for unit_s, name in ((DAY_S, "days"), (HOUR_S, "hours"), (MINUTE_S, "minutes")):
        if duration_s >= 2 * unit_s:
            return f"{duration_s / unit_s:g} {name}"
    return f"{duration_s:g} seconds"
