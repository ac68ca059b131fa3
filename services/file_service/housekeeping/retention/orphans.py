"""Removes objects that belong to no record: uploads of fenced workers, and leftovers of a crash."""

from collections.abc import AsyncIterator
from functools import partial

import structlog

from converto_core.conversion.record import Status
from converto_core.files.record import FileStatus
from converto_core.object_keys import TENANTS
from converto_core.ports.objects import ObjectStore, StoredObject
from file_service.housekeeping.retention.bucket_mark import BucketMark
from file_service.housekeeping.retention.key_records import KeyRecords, OutputOwner, SourceOwner
from file_service.housekeeping.retention.removal import Removal, Removed, removed_object

PAGE = 1000
PAGES_PER_SWEEP = 50
"""A bucket of a million objects is walked in twenty sweeps of fifty list requests each."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Orphans:
    """Walks the bucket page by page; each sweep continues where the last one ended."""

    def __init__(
        self,
        records: KeyRecords,
        objects: ObjectStore,
        mark: BucketMark,
        *,
        age_s: float,
        pages_per_sweep: int | None = PAGES_PER_SWEEP,
    ) -> None:
        """Objects younger than `age_s` are kept; with `pages_per_sweep` None, each sweep walks the whole bucket."""
        self._records = records
        self._objects = objects
        self._mark = mark
        self._age_ms = int(age_s * 1000)
        self._pages_per_sweep = pages_per_sweep
        self._after: str | None = None

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield the orphans of each page together, in key order."""
        if not await self._mark.is_ours():
            return
        before_ms, page_count = now_ms - self._age_ms, 0
        while self._pages_per_sweep is None or page_count < self._pages_per_sweep:
            page = await self._objects.list_page(TENANTS, after=self._after, limit=PAGE)
            old = [entry for entry in page.objects if entry.modified_at < before_ms]
            if orphans := await self._orphans(old, before_ms):
                yield Removal(tuple(orphans), partial(self._delete, [one.id for one in orphans]))
            page_count, self._after = page_count + 1, page.after
            if self._after is None:
                return

    async def _orphans(self, objects: list[StoredObject], before_ms: int) -> list[Removed]:
        """The records are read after the listing, so a conversion claimed since then shows a newer token."""
        records = await self._records.find(entry.key for entry in objects)
        reasons = {key: _reason(key, owner, before_ms) for key, owner in records.items()}
        return [removed_object(entry, reason) for entry in objects if (reason := reasons.get(entry.key)) is not None]

    async def _delete(self, keys: list[str]) -> int:
        await self._objects.delete(keys)
        log.info("orphans.deleted", count=len(keys), first=keys[0])
        return len(keys)


def _reason(key: str, owner: SourceOwner | OutputOwner, before_ms: int) -> str | None:
    return _output_reason(key, owner) if isinstance(owner, OutputOwner) else _source_reason(owner, before_ms)


def _output_reason(key: str, owner: OutputOwner) -> str | None:
    conversion, token = owner.conversion, owner.place.token
    if conversion is None:
        return "its conversion does not exist"
    if token > conversion.token:
        return None  # a worker has claimed the conversion since the record was read
    if conversion.status is Status.COMPLETED:
        is_output = key in {output.key for output in conversion.outputs}
        return None if is_output else "it is not an output of its completed conversion"
    if conversion.is_terminal:
        return f"its conversion is {conversion.status} and has no outputs"
    return None if token == conversion.token else "it was uploaded by a worker that had lost its lease"


def _source_reason(owner: SourceOwner, before_ms: int) -> str | None:
    if owner.file is None:
        return "its file does not exist"
    is_long_deleted = owner.file.status is FileStatus.DELETED and owner.file.updated_at < before_ms
    return "its file was deleted" if is_long_deleted else None
