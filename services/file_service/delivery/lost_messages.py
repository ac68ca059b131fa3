"""Finds pending conversions whose confirmed message is gone from its queue (purged or deleted) and makes it due again.

The sign is an empty queue while conversions of that queue are pending. It can be wrong for a moment, when a worker slot
has just received the message; the extra message then costs one refused claim.
"""

from collections.abc import Callable

import structlog

from converto_core.conversion.record import Conversion, Lane
from converto_core.conversion.transitions import republish_now
from converto_core.errors import BusUnavailable
from converto_core.formats import Family
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore
from file_service.housekeeping.backoff import Backoff
from file_service.housekeeping.failures import Failures

BATCH = 200
BROKEN_FIRST_S = 30.0
MIN_AGE_MS = 3000
"""The message of a younger conversion may still be on its way to the queue."""
FUTURE_MS, NEVER_MS = 60_000, 2**53
"""A conversion that was changed so long after now was dated by a clock that is ahead; its age is not known."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class LostMessages:
    """Compares each empty queue with the conversions whose messages should be in it."""

    def __init__(self, conversions: ConversionStore, bus: EventBus, *, now_ms: Callable[[], int]) -> None:
        self._conversions = conversions
        self._bus = bus
        self._now_ms = now_ms
        self._broken = Backoff(now_ms, first_s=BROKEN_FIRST_S)

    async def sweep(self) -> int:
        """Check all queues once and return how many messages are due again.

        A large backlog is refilled in batches, as workers drain it.
        """
        if not await self._published(None, None, limit=1):
            return 0
        failures = Failures(self._broken)
        count = sum([await self._check_queue(family, lane, failures) for family in Family for lane in Lane])
        failures.finish("lost_wakeups")
        return count

    async def _check_queue(self, family: Family, lane: Lane, failures: Failures) -> int:
        found = await self._published(family, lane, limit=BATCH + self._broken.waiting)
        pending = [conversion for conversion in found if self._broken.is_due(conversion.id)]
        if not pending or await self._has_backlog(family, lane):
            return 0
        count = 0
        for conversion in pending:
            async with failures.of(conversion.id):
                count += await self._republish(conversion)
        log.warning("wakeups.lost", family=family.value, lane=lane.value, count=count)
        return count

    async def _has_backlog(self, family: Family, lane: Lane) -> bool:
        """True also for a queue that cannot be asked while the broker answers: it must not hide the other queues."""
        try:
            return await self._bus.backlog(family, lane) > 0
        except BusUnavailable:
            await self._bus.ping()  # raises when the broker is away, which ends the whole sweep
            return True

    async def _published(self, family: Family | None, lane: Lane | None, *, limit: int) -> list[Conversion]:
        now_ms = self._now_ms()
        old = await self._conversions.published(family, lane, changed_before_ms=now_ms - MIN_AGE_MS, limit=limit)
        return old or await self._conversions.published(
            family, lane, changed_from_ms=now_ms + FUTURE_MS, changed_before_ms=NEVER_MS, limit=limit
        )

    async def _republish(self, conversion: Conversion) -> bool:
        return await self._conversions.apply(republish_now(conversion, now_ms=self._now_ms())) is not None
