"""Removes uploaded files that no conversion needs any more; disabled unless a retention time is set."""

from collections.abc import AsyncIterator, Callable
from functools import partial

import structlog

from converto_core.conversion.record import TERMINAL, Status
from converto_core.files.record import File, FileStatus
from converto_core.object_keys import source_key
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import ConversionFilter, ConversionStore, FileStore
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.removal import BATCH, Kind, Removal, Removed, duration_text

RUNNING_OR_WAITING = frozenset(Status) - TERMINAL
NEEDING_SOURCE = frozenset(Status) - {Status.EXPIRED}
"""A failed conversion can be retried, and the results of a completed one expire when its source is deleted."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class UnusedSources:
    """Files of which all conversions have expired."""

    def __init__(
        self,
        conversions: ConversionStore,
        files: FileStore,
        objects: ObjectStore,
        *,
        retention_s: float | None,
        now_ms: Callable[[], int],
    ) -> None:
        """`retention_s` counts from the upload, None keeps sources forever; `now_ms` only dates the change."""
        self._conversions = conversions
        self._files = files
        self._objects = objects
        self._retention_s = retention_s
        self._now_ms = now_ms

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield one removal per file, oldest upload first."""
        if self._retention_s is None:
            return
        before_ms = now_ms - int(self._retention_s * 1000)
        reason = f"uploaded more than {duration_text(self._retention_s)} ago, and no conversion needs it"

        async def read(from_ms: int, limit: int) -> list[File]:
            return await self._files.unchanged(FileStatus.UPLOADED, from_ms=from_ms, before_ms=before_ms, limit=limit)

        async for page in pages(read, lambda one: one.updated_at):
            for file in await self._unneeded(page):
                yield self._removal(file, reason)

    async def _unneeded(self, page: list[File]) -> list[File]:
        needed = await self._conversions.count_by_file([file.id for file in page], NEEDING_SOURCE)
        candidates = [file for file in page if file.id not in needed]
        joined = await self._appended_to_unfinished() if candidates else set()
        return [file for file in candidates if file.id not in joined]

    async def _appended_to_unfinished(self) -> set[str]:
        """Return files that unfinished conversions append to their source; `count_by_file` does not count these."""
        found, after = set[str](), None
        while True:
            query = ConversionFilter(statuses=tuple(RUNNING_OR_WAITING), after=after, limit=BATCH)
            page = await self._conversions.find(query)
            found |= {appended.file_id for conversion in page for appended in conversion.appended}
            if len(page) < BATCH:
                return found
            after = page[-1].id

    def _removal(self, file: File, reason: str) -> Removal:
        keys = [source_key(file.owner, file.id, version) for version in range(1, file.version + 1)]
        record = Removed(kind=Kind.FILE, id=file.id, since_ms=file.updated_at, reason=reason)
        bytes_ = Removed(
            kind=Kind.OBJECT, id=file.key, since_ms=file.updated_at, size_bytes=file.size_bytes, reason=reason
        )
        return Removal((record, bytes_), partial(self._delete, file, keys))

    async def _delete(self, file: File, keys: list[str]) -> int:
        """Mark the file deleted, check again that no conversion needs it, and only then delete its bytes."""
        uploaded, deleted = {FileStatus.UPLOADED}, {FileStatus.DELETED}
        mark = {"status": FileStatus.DELETED, "updated_at": self._now_ms()}
        marked = await self._files.update(file.id, version=file.version, expected=uploaded, assign=mark)
        if marked is None:
            return 0
        if not await self._unneeded([file]):
            back = {"status": FileStatus.UPLOADED, "updated_at": file.updated_at}
            await self._files.update(file.id, version=file.version, expected=deleted, assign=back)
            return 0
        await self._objects.delete(keys)
        log.info("source.deleted", file_id=file.id)
        return 1
