"""The time by which things are old. It knows no rule."""

from collections.abc import Callable

import structlog

from converto_core.ports.objects import ObjectStore

NOTABLE_MS = 60_000

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class TrustedTime:
    """The earlier of two wall clocks, this machine's and the object store's.

    A clock that jumps ahead would make everything old at once. Two clocks that agree by mistake are less likely, and
    a clock that lags only keeps things longer.
    """

    def __init__(self, objects: ObjectStore, own_ms: Callable[[], int]) -> None:
        """`own_ms` is this machine's clock."""
        self._objects = objects
        self._own_ms = own_ms
        self._is_told = False

    async def now_ms(self) -> int:
        """Raises `ObjectStoreUnavailable`: nothing goes while its objects could not go either."""
        theirs, own = await self._objects.now_ms(), self._own_ms()
        differs = abs(own - theirs) > NOTABLE_MS
        if differs and not self._is_told:
            log.warning("clock.differs", own_ms=own, object_store_ms=theirs)
        self._is_told = differs
        return min(own, theirs)
