"""Publishes messages for conversions that wait for a leader's result when that leader has ended.

Correctness does not depend on it: a waiter without a message looks again at the date in its record.
"""

from functools import partial

import structlog

from converto_core.concurrency import all_of
from converto_core.conversion.processing import add_waiter
from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import end_wait
from converto_core.errors import BusUnavailable, StoreUnavailable
from converto_core.events import conversion_created
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import CacheStore, ConversionStore
from converto_infra.clock import Clock

BATCH = 200
AT_ONCE = 8
PUBLISHED_AGAIN_MS = 5_000  # a message that was lost on its way is published once more after this

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Waiters:
    """The conversions that wait for a leader."""

    def __init__(self, *, conversions: ConversionStore, cache: CacheStore, bus: EventBus, clock: Clock) -> None:
        self._conversions = conversions
        self._cache = cache
        self._bus = bus
        self._clock = clock

    async def notify(self, ended: Conversion) -> None:
        """Release the waiters of a leader that has ended, or register a conversion that has to wait itself."""
        try:
            if ended.is_terminal and ended.followers and ended.cache_key is not None:
                await self._release_all(ended.cache_key)
            elif ended.status is Status.PENDING and ended.waits_for is not None:
                await self._register(ended, ended.waits_for)
        except (StoreUnavailable, BusUnavailable) as error:
            log.warning("followers.left_to_the_outbox", conversion_id=ended.id, code=error.stable_code)

    async def _release_all(self, key: str) -> None:
        released, after = 0, None
        while batch := await self._conversions.waiting_for(key, after=after, limit=BATCH):
            released += sum(await all_of([partial(self._release, one) for one in batch], at_once=AT_ONCE))
            after = batch[-1].id
        if released:
            log.info("followers.woken", count=released)

    async def _register(self, waiter: Conversion, key: str) -> None:
        """Count a waiter in its leader's record. If the leader has ended meanwhile, release the waiter at once.

        The order matters: the waiter's own record already says that it waits, so a leader that ends later finds it.
        """
        entry = await self._cache.get(key)
        if entry is not None and await self._conversions.apply(add_waiter(entry.conversion_id, token=entry.token)):
            return
        await self._release(waiter)

    async def _release(self, waiter: Conversion) -> bool:
        change = end_wait(waiter, wait_ms=PUBLISHED_AGAIN_MS, now_ms=self._clock.now_ms())
        released = await self._conversions.apply(change)
        if released is not None:
            await self._bus.publish(conversion_created(released))
        return released is not None
