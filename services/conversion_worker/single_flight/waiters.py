"""Wakes conversions that wait for another one's result, when that one has ended. It knows no program and no file.

Nothing depends on it: a follower that nobody wakes looks again at the date that stands in its record.
"""

from functools import partial

import structlog

from conversion_worker.clock import Clock
from conversion_worker.concurrency import all_of
from converto_core.conversion.processing import add_waiter
from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import end_wait
from converto_core.errors import BusUnavailable, StoreUnavailable
from converto_core.events import conversion_created
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import CacheStore, ConversionStore

BATCH = 200
AT_ONCE = 8
SENT_AGAIN_MS = 5_000  # a wake-up that got lost on its way leaves once more after this

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Waiters:
    """All conversions that wait for others."""

    def __init__(self, *, conversions: ConversionStore, cache: CacheStore, bus: EventBus, clock: Clock) -> None:
        """Everything is passed in; nothing is opened here."""
        self._conversions = conversions
        self._cache = cache
        self._bus = bus
        self._clock = clock

    async def hear_of(self, settled: Conversion) -> None:
        """Do what follows for others, or for itself, from how a job has ended."""
        try:
            if settled.is_terminal and settled.followers and settled.cache_key is not None:
                await self._wake_all(settled.cache_key)
            elif settled.status is Status.PENDING and settled.waits_for is not None:
                await self._wait(settled, settled.waits_for)
        except (StoreUnavailable, BusUnavailable) as error:
            log.warning("followers.left_to_the_outbox", conversion_id=settled.id, code=error.stable_code)

    async def _wake_all(self, key: str) -> None:
        woken, after = 0, None
        while batch := await self._conversions.waiting_for(key, after=after, limit=BATCH):
            woken += sum(await all_of([partial(self._wake, one) for one in batch], at_once=AT_ONCE))
            after = batch[-1].id
        if woken:
            log.info("followers.woken", count=woken)

    async def _wait(self, settled: Conversion, key: str) -> None:
        """Make itself known to the one it follows. That one may have ended meanwhile: then nobody would wake it.

        In this order: its own record says already that it waits, so whoever ends after this finds it.
        """
        entry = await self._cache.get(key)
        if entry is not None and await self._conversions.apply(add_waiter(entry.conversion_id, token=entry.token)):
            return
        await self._wake(settled)

    async def _wake(self, waiting: Conversion) -> bool:
        change = end_wait(waiting, wait_ms=SENT_AGAIN_MS, now_ms=self._clock.now_ms())
        woken = await self._conversions.apply(change)
        if woken is not None:
            await self._bus.publish(conversion_created(woken))
        return woken is not None
