"""The clocks by which retention rules measure ages, and by which dates in the future are recognized."""

from collections.abc import Callable

import structlog

from converto_core.ports.objects import ObjectStore

MAX_DIFFERENCE_MS = 60_000
"""Clocks that differ by more are logged, and a date that is further in the future comes from a wrong clock."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class TrustedTime:
    """The earlier of two wall clocks: this machine's and the object store's.

    A single clock that jumps ahead would make everything old at once; it is unlikely that both do. A clock that lags
    only keeps things longer.
    """

    def __init__(self, objects: ObjectStore, own_ms: Callable[[], int]) -> None:
        """`own_ms` reads this machine's clock."""
        self._objects = objects
        self.own_ms = own_ms
        self._is_logged = False

    async def now_ms(self) -> int:
        """Return the time; raises `ObjectStoreUnavailable`, when no object could be removed anyway."""
        return min(await self._both_ms())

    async def latest_ms(self) -> int:
        """Return the later of the two clocks, after which a date is in the future; raises `ObjectStoreUnavailable`.

        By its own clock alone, a process whose clock lags would take all right dates for wrong ones.
        """
        return max(await self._both_ms())

    async def _both_ms(self) -> tuple[int, int]:
        theirs, own = await self._objects.now_ms(), self.own_ms()
        differs = abs(own - theirs) > MAX_DIFFERENCE_MS
        if differs and not self._is_logged:
            log.warning("clock.differs", own_ms=own, object_store_ms=theirs)
        self._is_logged = differs
        return own, theirs
