"""Completed conversions whose results have been kept long enough: the record stays, as expired, the objects go."""

from collections.abc import AsyncIterator, Callable
from functools import partial

import structlog

from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import expire_result
from converto_core.events import conversion_event
from converto_core.ports.bus import EventBus
from converto_core.ports.objects import StoredObject
from converto_core.ports.stores import ConversionStore
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.conversion_objects import ConversionObjects, leaving_objects
from file_service.housekeeping.retention.removal import Kind, Removal, RemovedThing, spoken

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ResultExpiry:
    """Takes results away: first in the record, so that nobody is shown what is being deleted."""

    def __init__(
        self, conversions: ConversionStore, objects: ConversionObjects, bus: EventBus, *, now_ms: Callable[[], int]
    ) -> None:
        """`now_ms` only dates the change."""
        self._conversions = conversions
        self._objects = objects
        self._bus = bus
        self._now_ms = now_ms

    async def departure(self, conversion: Conversion, *, since_ms: int, reason: str) -> Removal:
        """The results of a completed conversion, with everything its workers left."""
        objects = await self._objects.of(conversion)
        results = RemovedThing(kind=Kind.RESULTS, id=conversion.id, since_ms=since_ms, reason=reason)
        return Removal((results, *leaving_objects(objects, reason)), partial(self._expire, conversion, objects))

    async def _expire(self, conversion: Conversion, objects: list[StoredObject]) -> int:
        after = await self._conversions.apply(expire_result(conversion, now_ms=self._now_ms()))
        if after is None:
            return 0
        await self._bus.publish_event(conversion_event(after))
        await self._objects.delete(objects)
        log.info("results.deleted", conversion_id=conversion.id, count=len(objects))
        return 1


class OldResults:
    """Results past their time."""

    def __init__(self, conversions: ConversionStore, expiry: ResultExpiry, *, retention_s: float) -> None:
        """`retention_s` counts from completion."""
        self._conversions = conversions
        self._expiry = expiry
        self._retention_s = retention_s

    async def departures(self, now_ms: int) -> AsyncIterator[Removal]:
        """Oldest first."""
        before_ms = now_ms - int(self._retention_s * 1000)
        reason = f"completed more than {spoken(self._retention_s)} ago"

        async def read(from_ms: int, limit: int) -> list[Conversion]:
            return await self._conversions.ended(Status.COMPLETED, from_ms=from_ms, before_ms=before_ms, limit=limit)

        async for page in pages(read, lambda one: one.completed_at):
            for conversion in page:
                since_ms = conversion.completed_at or 0
                yield await self._expiry.departure(conversion, since_ms=since_ms, reason=reason)
