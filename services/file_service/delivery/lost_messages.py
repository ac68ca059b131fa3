"""Finds conversions whose confirmed wake-up is gone from its queue, purged or deleted, and lets it leave again.

A queue without messages while conversions of it wait is the sign. It may be wrong for a moment (a slot has just been
handed one), and then costs one refused claim. It changes no status and publishes nothing itself.
"""

from collections.abc import Callable

import structlog

from converto_core.conversion.record import Conversion, Lane
from converto_core.conversion.transitions import republish_now
from converto_core.formats import Family
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore

BATCH = 200
SETTLED_MS = 3000  # younger ones may be on their way

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class LostMessages:
    """Compares each empty queue with the conversions that should be in it."""

    def __init__(self, conversions: ConversionStore, bus: EventBus, *, now_ms: Callable[[], int]) -> None:
        self._conversions = conversions
        self._bus = bus
        self._now_ms = now_ms

    async def sweep(self) -> int:
        """Look once; how many wake-ups are due again. A large backlog is refilled in batches as workers drain it."""
        if not await self._woken(None, None, limit=1):
            return 0
        found = 0
        for family in Family:
            for lane in Lane:
                found += await self._look(family, lane)
        return found

    async def _look(self, family: Family, lane: Lane) -> int:
        waiting = await self._woken(family, lane, limit=BATCH)
        if not waiting or await self._bus.backlog(family, lane):
            return 0
        woken = sum([await self._wake(conversion) for conversion in waiting])
        log.warning("wakeups.lost", family=family.value, lane=lane.value, count=woken)
        return woken

    async def _woken(self, family: Family | None, lane: Lane | None, *, limit: int) -> list[Conversion]:
        before_ms = self._now_ms() - SETTLED_MS
        return await self._conversions.published(family, lane, changed_before_ms=before_ms, limit=limit)

    async def _wake(self, conversion: Conversion) -> bool:
        return await self._conversions.apply(republish_now(conversion, now_ms=self._now_ms())) is not None
