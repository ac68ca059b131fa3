"""How many conversions of one owner may wait for a worker, so that one cannot starve all others. It knows no HTTP.

The bound is soft: what is known of an owner is a second old, and each process looks by itself.
"""

import time
from collections.abc import Callable

import msgspec
import structlog

from converto_core.errors import TooManyPending
from converto_core.ports.stores import ConversionStore

CACHE_S = 1.0
CACHE_SIZE = 1000

log = structlog.get_logger()


class _Known(msgspec.Struct, frozen=True):
    """What is known of an owner, and until when that is good enough (seconds, monotonic)."""

    until_s: float
    is_full: bool


class PendingLimit:
    """Refuses new conversions of owners who have enough of them waiting."""

    def __init__(self, conversions: ConversionStore, *, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`most`: with this many waiting, another one is refused."""
        self._conversions = conversions
        self._most = most
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def check(self, owner: str) -> None:
        """Raises `TooManyPending`."""
        known = self._known.get(owner)
        if known is None or known.until_s <= self._clock():
            known = await self._look(owner, was_full=known is not None and known.is_full)
        if known.is_full:
            raise TooManyPending(
                f"{self._most} of your conversions are waiting already; please go on when some have ended"
            )

    async def _look(self, owner: str, *, was_full: bool) -> _Known:
        # What was true until now counts for those who ask meanwhile: a burst costs one call.
        self._remember(owner, is_full=was_full)
        is_full = await self._conversions.has_pending(owner, at_least=self._most)
        if is_full and not was_full:
            log.warning("owner.has_too_many_pending", owner=owner, most=self._most)
        return self._remember(owner, is_full=is_full)

    def _remember(self, owner: str, *, is_full: bool) -> _Known:
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        known = _Known(self._clock() + CACHE_S, is_full)
        self._known[owner] = known
        return known
