"""Tells waiters that the leader of this worker has ended, and leaders of other workers that they have a waiter."""

import structlog

from converto_core.conversion.processing import add_waiter
from converto_core.conversion.record import Conversion, Status
from converto_core.errors import BusUnavailable, StoreUnavailable
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import CacheStore, ConversionStore
from converto_infra.clock import Clock
from converto_infra.waiter_release import WaiterRelease

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Waiters:
    """The conversions that wait for a leader."""

    def __init__(self, *, conversions: ConversionStore, cache: CacheStore, bus: EventBus, clock: Clock) -> None:
        self._conversions = conversions
        self._cache = cache
        self._release = WaiterRelease(conversions, bus, now_ms=clock.now_ms)

    async def notify(self, ended: Conversion) -> None:
        """Release the waiters of a leader that has ended, or register a conversion that has to wait itself."""
        if ended.is_terminal:
            await self._release.release_all(ended)
        elif ended.status is Status.PENDING and ended.waits_for is not None:
            try:
                await self._register(ended, ended.waits_for)
            except (StoreUnavailable, BusUnavailable) as error:
                log.warning("followers.left_to_the_outbox", conversion_id=ended.id, code=error.stable_code)

    async def _register(self, waiter: Conversion, key: str) -> None:
        """Count a waiter in its leader's record. If the leader has ended meanwhile, release the waiter at once.

        The order matters: the waiter's own record already says that it waits, so a leader that ends later finds it.
        """
        entry = await self._cache.get(key)
        if entry is not None and await self._conversions.apply(add_waiter(entry.conversion_id, token=entry.token)):
            return
        await self._release.release(waiter)
