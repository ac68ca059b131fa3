"""Expires results past their retention time: the objects are deleted, the record stays as expired."""

from collections.abc import AsyncIterator, Callable
from functools import partial

import structlog

from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import expire_result
from converto_core.ports.objects import StoredObject
from converto_core.ports.stores import ConversionStore
from file_service.conversions.conversion_objects import ConversionObjects
from file_service.delivery.sender import Sender
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.removal import Kind, Removal, Removed, duration_text, removed_objects

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ResultExpiry:
    """Expires the record before it deletes the objects, so that clients never see links to deleted objects."""

    def __init__(self, sender: Sender, objects: ConversionObjects, *, now_ms: Callable[[], int]) -> None:
        """`now_ms` only dates the change."""
        self._sender = sender
        self._objects = objects
        self._now_ms = now_ms

    async def removal(self, conversion: Conversion, *, since_ms: int, reason: str) -> Removal:
        """Return the removal of a completed conversion's results and of everything its workers uploaded."""
        objects = await self._objects.find(conversion)
        results = Removed(kind=Kind.RESULTS, id=conversion.id, since_ms=since_ms, reason=reason)
        return Removal((results, *removed_objects(objects, reason)), partial(self._expire, conversion, objects))

    async def _expire(self, conversion: Conversion, objects: list[StoredObject]) -> int:
        after = await self._sender.apply(expire_result(conversion, now_ms=self._now_ms()))
        if after is None:
            return 0
        await self._objects.delete(objects)
        log.info("results.deleted", conversion_id=conversion.id, count=len(objects))
        return 1


class OldResults:
    """Completed conversions past their retention time."""

    def __init__(self, conversions: ConversionStore, expiry: ResultExpiry, *, retention_s: float) -> None:
        """`retention_s` counts from completion."""
        self._conversions = conversions
        self._expiry = expiry
        self._retention_s = retention_s

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield one removal per conversion, oldest first."""
        before_ms = now_ms - int(self._retention_s * 1000)
        reason = f"completed more than {duration_text(self._retention_s)} ago"

        async def read(from_ms: int, limit: int) -> list[Conversion]:
            return await self._conversions.ended(Status.COMPLETED, from_ms=from_ms, before_ms=before_ms, limit=limit)

        async for page in pages(read, lambda one: one.completed_at):
            for conversion in page:
                since_ms = conversion.completed_at or 0
                yield await self._expiry.removal(conversion, since_ms=since_ms, reason=reason)
