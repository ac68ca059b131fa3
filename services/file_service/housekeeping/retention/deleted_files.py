"""Removes what deleted files leave behind: the results made from them, and finally their own records."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from converto_core.conversion.record import Conversion, Status
from converto_core.files.record import File, FileStatus
from converto_core.ports.stores import ConversionFilter, ConversionStore, FileStore
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.expired_results import ResultExpiry
from file_service.housekeeping.retention.removal import BATCH, Kind, Removal, Removed, duration_text


class OutputsOfDeletedFiles:
    """Expires results whose source was deleted (behaviour I10)."""

    def __init__(self, conversions: ConversionStore, files: FileStore, expiry: ResultExpiry, *, after_s: float) -> None:
        """`after_s` counts from the deletion: a client may delete a source at once and still fetch the results."""
        self._conversions = conversions
        self._files = files
        self._expiry = expiry
        self._after_s = after_s

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield one removal per conversion, those of the longest deleted files first."""
        reason = f"its source was deleted more than {duration_text(self._after_s)} ago"
        async for page in _deleted(self._files, before_ms=now_ms - int(self._after_s * 1000)):
            for file in await self._with_results(page):
                for conversion in await self._completed(file):
                    yield await self._expiry.removal(conversion, since_ms=file.updated_at, reason=reason)

    async def _with_results(self, files: Sequence[File]) -> list[File]:
        counts = await self._conversions.count_by_file([file.id for file in files], {Status.COMPLETED})
        return [file for file in files if file.id in counts]

    async def _completed(self, file: File) -> list[Conversion]:
        """Return at most one batch; the next sweep handles the rest."""
        query = ConversionFilter(owner=file.owner, file_id=file.id, statuses=(Status.COMPLETED,), limit=BATCH)
        return await self._conversions.find(query)


class DeletedFiles:
    """Removes records of files that were deleted long ago, and whose bytes were deleted then."""

    def __init__(self, files: FileStore, *, retention_s: float) -> None:
        """`retention_s` counts from the deletion."""
        self._files = files
        self._retention_s = retention_s

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield one removal per file, longest deleted first."""
        reason = f"deleted more than {duration_text(self._retention_s)} ago"
        async for page in _deleted(self._files, before_ms=now_ms - int(self._retention_s * 1000)):
            for file in page:
                removed = Removed(kind=Kind.FILE, id=file.id, since_ms=file.updated_at, reason=reason)
                yield Removal((removed,), partial(self._files.delete_unchanged, file))


def _deleted(files: FileStore, *, before_ms: int) -> AsyncIterator[list[File]]:
    async def read(from_ms: int, limit: int) -> list[File]:
        return await files.unchanged(FileStatus.DELETED, from_ms=from_ms, before_ms=before_ms, limit=limit)

    return pages(read, lambda one: one.updated_at)
