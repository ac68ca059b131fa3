"""Objects that belong to no record: what fenced workers uploaded, and what a crash left between record and object."""

from collections.abc import AsyncIterator, Iterable
from functools import partial

import structlog

from converto_core.conversion.record import Conversion, Status
from converto_core.files.record import File, FileStatus
from converto_core.object_keys import TENANTS, OutputKey, SourceKey, parse_key
from converto_core.ports.objects import ObjectStore, StoredObject
from converto_core.ports.stores import ConversionStore, FileStore
from file_service.housekeeping.retention.bucket_mark import BucketMark
from file_service.housekeeping.retention.removal import BATCH, Kind, Removal, RemovedThing

PAGE = 1000
PAGES_PER_SWEEP = 50
"""A bucket of a million objects is walked in twenty sweeps, each of which asks fifty times for a page."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Orphans:
    """Walks the bucket page by page; where one sweep ends the next one goes on."""

    def __init__(
        self,
        conversions: ConversionStore,
        files: FileStore,
        objects: ObjectStore,
        mark: BucketMark,
        *,
        age_s: float,
        pages_per_sweep: int | None = PAGES_PER_SWEEP,
    ) -> None:
        """Younger objects than `age_s` are left alone; `pages_per_sweep` None walks to the end each time."""
        self._conversions = conversions
        self._files = files
        self._objects = objects
        self._mark = mark
        self._age_ms = int(age_s * 1000)
        self._pages_per_sweep = pages_per_sweep
        self._after: str | None = None

    async def departures(self, now_ms: int) -> AsyncIterator[Removal]:
        """In order of keys, the orphans of a page together."""
        if not await self._mark.is_ours():
            return
        before_ms, looked_at = now_ms - self._age_ms, 0
        while self._pages_per_sweep is None or looked_at < self._pages_per_sweep:
            page = await self._objects.list_page(TENANTS, after=self._after, limit=PAGE)
            old = [entry for entry in page.objects if entry.modified_at < before_ms]
            if leaving := await self._orphans(old, before_ms):
                yield Removal(tuple(leaving), partial(self._delete, [one.id for one in leaving]))
            looked_at, self._after = looked_at + 1, page.after
            if self._after is None:
                return

    async def _orphans(self, objects: list[StoredObject], before_ms: int) -> list[RemovedThing]:
        """The records are read after the listing: what was made since then has a newer token."""
        places = {entry.key: place for entry in objects if (place := parse_key(entry.key)) is not None}
        conversions = await self._conversions_of(places.values())
        files = await self._files_of(places.values())

        def reason(key: str) -> str | None:
            place = places.get(key)
            if isinstance(place, OutputKey):
                return _why_output(key, place, conversions.get(place.conversion_id))
            return _why_source(place, files.get(place.file_id), before_ms) if place else None

        return [_leaving(entry, why) for entry in objects if (why := reason(entry.key)) is not None]

    async def _conversions_of(self, places: Iterable[OutputKey | SourceKey]) -> dict[str, Conversion]:
        ids = sorted({place.conversion_id for place in places if isinstance(place, OutputKey)})
        batches = [await self._conversions.get_many(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
        return {conversion.id: conversion for batch in batches for conversion in batch}

    async def _files_of(self, places: Iterable[OutputKey | SourceKey]) -> dict[str, File]:
        ids = sorted({place.file_id for place in places if isinstance(place, SourceKey)})
        batches = [await self._files.get_many(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
        return {file.id: file for batch in batches for file in batch}

    async def _delete(self, keys: list[str]) -> int:
        await self._objects.delete(keys)
        log.info("orphans.deleted", count=len(keys), first=keys[0])
        return len(keys)


def _why_output(key: str, place: OutputKey, conversion: Conversion | None) -> str | None:
    if conversion is None or conversion.owner != place.owner:
        return "there is no such conversion"
    if place.token > conversion.token:
        return None  # a worker has claimed it since we looked
    if conversion.status is Status.COMPLETED:
        is_result = key in {output.key for output in conversion.outputs}
        return None if is_result else "it is not among the results of its conversion"
    if conversion.is_terminal:
        return f"its conversion is {conversion.status} and has no results"
    return None if place.token == conversion.token else "a worker that had lost its lease left it"


def _why_source(place: SourceKey, file: File | None, before_ms: int) -> str | None:
    if file is None or file.owner != place.owner:
        return "there is no such file"
    is_long_deleted = file.status is FileStatus.DELETED and file.updated_at < before_ms
    return "its file was deleted" if is_long_deleted else None


def _leaving(entry: StoredObject, reason: str) -> RemovedThing:
    return RemovedThing(
        kind=Kind.OBJECT, id=entry.key, since_ms=entry.modified_at, size_bytes=entry.size_bytes, reason=reason
    )
