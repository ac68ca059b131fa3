"""Tells the conversions that wait for a leader's result that this leader has ended.

Correctness does not depend on it: a waiter without a message looks again at the date in its record.
"""

from collections.abc import AsyncIterator, Callable
from functools import partial

import structlog

from converto_core.conversion.record import Conversion
from converto_core.conversion.transitions import end_wait
from converto_core.errors import BusUnavailable, StoreUnavailable
from converto_core.events import conversion_created
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore
from converto_infra.concurrency import all_of

BATCH = 200
AT_ONCE = 8  # releases side by side
PUBLISHED_AGAIN_MS = 5_000  # a message that was lost on its way is published once more after this

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class WaiterRelease:
    """Ends waits and publishes the messages of the waiters. The worker and the reaper end leaders, so both use it."""

    def __init__(self, conversions: ConversionStore, bus: EventBus, *, now_ms: Callable[[], int]) -> None:
        self._conversions = conversions
        self._bus = bus
        self._now_ms = now_ms

    async def release_all(self, ended: Conversion) -> None:
        """Release the waiters of a conversion that has ended; those that cannot be told look at their own date."""
        released = 0
        try:
            async for batch in self._batches(ended):
                released += sum(await all_of([partial(self.release, one) for one in batch], at_once=AT_ONCE))
        except (StoreUnavailable, BusUnavailable) as error:
            log.warning("followers.left_to_the_outbox", conversion_id=ended.id, code=error.stable_code)
            return
        if released:
            log.info("followers.woken", count=released)

    async def release(self, waiter: Conversion) -> bool:
        """End one wait; False when the waiter has been claimed, cancelled or released since it was read."""
        change = end_wait(waiter, wait_ms=PUBLISHED_AGAIN_MS, now_ms=self._now_ms())
        released = await self._conversions.apply(change)
        if released is not None:
            await self._bus.publish(conversion_created(released))
        return released is not None

    async def _batches(self, ended: Conversion) -> AsyncIterator[list[Conversion]]:
        key, after = ended.cache_key, None
        if not (ended.is_terminal and ended.followers) or key is None:
            return
        while batch := await self._conversions.waiting_for(key, after=after, limit=BATCH):
            yield batch
            after = batch[-1].id
