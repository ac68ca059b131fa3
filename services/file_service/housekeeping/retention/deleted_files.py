"""What deleted files leave behind: the results that were made of them, and at last their own records."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from converto_core.conversion.record import Conversion, Status
from converto_core.files.record import File, FileStatus
from converto_core.ports.stores import ConversionFilter, ConversionStore, FileStore
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.expired_results import ResultExpiry
from file_service.housekeeping.retention.removal import BATCH, Kind, Removal, RemovedThing, spoken


class OutputsOfDeletedFiles:
    """Results whose source was deleted (behaviour I10): they expire, as those past their time do."""

    def __init__(self, conversions: ConversionStore, files: FileStore, expiry: ResultExpiry, *, after_s: float) -> None:
        """`after_s` counts from the deletion, so that who deletes a source as soon as it is done still gets results."""
        self._conversions = conversions
        self._files = files
        self._expiry = expiry
        self._after_s = after_s

    async def departures(self, now_ms: int) -> AsyncIterator[Removal]:
        """File by file, longest deleted first."""
        reason = f"its source was deleted more than {spoken(self._after_s)} ago"
        async for page in _deleted(self._files, before_ms=now_ms - int(self._after_s * 1000)):
            for file in await self._with_results(page):
                for conversion in await self._completed(file):
                    yield await self._expiry.departure(conversion, since_ms=file.updated_at, reason=reason)

    async def _with_results(self, files: Sequence[File]) -> list[File]:
        counts = await self._conversions.count_by_file([file.id for file in files], {Status.COMPLETED})
        return [file for file in files if file.id in counts]

    async def _completed(self, file: File) -> list[Conversion]:
        """A file with more results than a batch keeps the rest for the next sweep."""
        query = ConversionFilter(owner=file.owner, file_id=file.id, statuses=(Status.COMPLETED,), limit=BATCH)
        return await self._conversions.find(query)


class DeletedFiles:
    """Records of files that were deleted long ago. Their bytes went with the deletion."""

    def __init__(self, files: FileStore, *, retention_s: float) -> None:
        """`retention_s` counts from the deletion."""
        self._files = files
        self._retention_s = retention_s

    async def departures(self, now_ms: int) -> AsyncIterator[Removal]:
        """Longest deleted first."""
        reason = f"deleted more than {spoken(self._retention_s)} ago"
        async for page in _deleted(self._files, before_ms=now_ms - int(self._retention_s * 1000)):
            for file in page:
                leaving = RemovedThing(kind=Kind.FILE, id=file.id, since_ms=file.updated_at, reason=reason)
                yield Removal((leaving,), partial(self._files.delete_unchanged, file))


def _deleted(files: FileStore, *, before_ms: int) -> AsyncIterator[list[File]]:
    async def read(from_ms: int, limit: int) -> list[File]:
        return await files.unchanged(FileStatus.DELETED, from_ms=from_ms, before_ms=before_ms, limit=limit)

    return pages(read, lambda one: one.updated_at)
