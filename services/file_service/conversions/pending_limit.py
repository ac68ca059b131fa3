"""Limits how many pending conversions one owner may have, so that one owner cannot starve the others.

The limit is soft: the count is cached for a second, and each process has its own cache.
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


class _Cached(msgspec.Struct, frozen=True):
    """Whether an owner is at the limit, and until when that is fresh (monotonic seconds)."""

    until_s: float
    is_full: bool


class PendingLimit:
    """Refuses new conversions of owners who are at the limit."""

    def __init__(self, conversions: ConversionStore, *, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` is the largest number of pending conversions; further ones are refused."""
        self._conversions = conversions
        self._most = most
        self._clock = clock
        self._cache: dict[str, _Cached] = {}

    async def check(self, owner: str) -> None:
        """Raise `TooManyPending` if the owner is at the limit."""
        cached = self._cache.get(owner)
        if cached is None or cached.until_s <= self._clock():
            cached = await self._refresh(owner, was_full=cached is not None and cached.is_full)
        if cached.is_full:
            raise TooManyPending(
                f"You have {self._most} pending conversions, which is the limit; try again when some of them have ended"
            )

    async def _refresh(self, owner: str, *, was_full: bool) -> _Cached:
        # Concurrent callers keep using the previous value, so that a burst costs one database call.
        self._remember(owner, is_full=was_full)
        is_full = await self._conversions.has_pending(owner, at_least=self._most)
        if is_full and not was_full:
            log.warning("owner.has_too_many_pending", owner=owner, most=self._most)
        return self._remember(owner, is_full=is_full)

    def _remember(self, owner: str, *, is_full: bool) -> _Cached:
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        cached = _Cached(self._clock() + CACHE_S, is_full)
        self._cache[owner] = cached
        return cached
