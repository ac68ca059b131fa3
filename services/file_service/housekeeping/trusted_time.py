"""The clock by which retention rules measure ages."""

from collections.abc import Callable

import structlog

from converto_core.ports.objects import ObjectStore

MAX_DIFFERENCE_MS = 60_000

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
        theirs, own = await self._objects.now_ms(), self.own_ms()
        differs = abs(own - theirs) > MAX_DIFFERENCE_MS
        if differs and not self._is_logged:
            log.warning("clock.differs", own_ms=own, object_store_ms=theirs)
        self._is_logged = differs
        return min(own, theirs)
