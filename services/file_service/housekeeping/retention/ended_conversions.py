"""Removes records of conversions that ended long ago and have no results: failed, cancelled and expired ones."""

from collections.abc import AsyncIterator
from functools import partial

import structlog

from converto_core.conversion.record import Conversion, Status
from converto_core.ports.objects import StoredObject
from converto_core.ports.stores import ConversionStore
from file_service.conversions.conversion_objects import ConversionDeletion
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.removal import Kind, Removal, Removed, duration_text, removed_objects

NEVER_UPLOADED = "upload_abandoned"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class EndedConversions:
    """Shared by the rules below: removes a record that has not changed since it was read, then its objects."""

    def __init__(self, conversions: ConversionStore, deletion: ConversionDeletion) -> None:
        self._conversions = conversions
        self._deletion = deletion

    async def ended(
        self, status: Status, *, before_ms: int, error_code: str | None = None
    ) -> AsyncIterator[Conversion]:
        """Yield conversions that reached this status before a time, oldest first."""

        async def read(from_ms: int, limit: int) -> list[Conversion]:
            return await self._conversions.ended(
                status, from_ms=from_ms, before_ms=before_ms, limit=limit, error_code=error_code
            )

        async for page in pages(read, lambda one: one.completed_at):
            for conversion in page:
                yield conversion

    async def removal(self, conversion: Conversion, reason: str) -> Removal:
        """Return the removal of the record and of everything its workers uploaded."""
        objects = await self._deletion.find_objects(conversion)
        record = Removed(kind=Kind.CONVERSION, id=conversion.id, since_ms=conversion.completed_at or 0, reason=reason)
        return Removal((record, *removed_objects(objects, reason)), partial(self._delete, conversion, objects))

    async def _delete(self, conversion: Conversion, objects: list[StoredObject]) -> int:
        if not await self._deletion.delete(conversion, objects):
            return 0  # a user has retried it, or another process was faster
        log.info("conversion.dropped", conversion_id=conversion.id, status=conversion.status.value)
        return 1


class OldFailures:
    """Removes failed and cancelled conversions, and those whose file was never uploaded."""

    def __init__(self, ended: EndedConversions, *, retention_s: float) -> None:
        """`retention_s` counts from the end of the conversion."""
        self._ended = ended
        self._retention_s = retention_s

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield one removal per conversion, status by status, oldest first."""
        before_ms = now_ms - int(self._retention_s * 1000)
        for status, code in ((Status.FAILED, None), (Status.CANCELLED, None), (Status.EXPIRED, NEVER_UPLOADED)):
            what = "never uploaded and expired" if code else str(status)
            reason = f"{what} more than {duration_text(self._retention_s)} ago"
            async for conversion in self._ended.ended(status, before_ms=before_ms, error_code=code):
                yield await self._ended.removal(conversion, reason)


class OldRecords:
    """Removes records of expired conversions, which stay for a second retention time after their results."""

    def __init__(self, ended: EndedConversions, *, result_retention_s: float, record_retention_s: float) -> None:
        """The two times follow each other, from completion on; a late expiry delays the start of the second."""
        self._ended = ended
        self._result_retention_s = result_retention_s
        self._record_retention_s = record_retention_s

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield one removal per conversion, oldest first."""
        expired_before_ms = now_ms - int(self._record_retention_s * 1000)
        before_ms = expired_before_ms - int(self._result_retention_s * 1000)
        reason = f"its results expired more than {duration_text(self._record_retention_s)} ago"
        async for conversion in self._ended.ended(Status.EXPIRED, before_ms=before_ms):
            if conversion.error_code != NEVER_UPLOADED and conversion.updated_at < expired_before_ms:
                yield await self._ended.removal(conversion, reason)
