"""Forgets who made a result when the result cannot be there any more. It knows no conversion and no object."""

from collections.abc import Callable

from converto_core.ports import CacheStore

LONGEST_RUN_MS = 24 * 3600 * 1000
"""An entry is made before its engine runs, and results are kept from the end of the run on. Too early costs one run."""


class OldEntries:
    """Entries of the cache whose results have expired."""

    def __init__(self, cache: CacheStore, *, retention_s: float, now_ms: Callable[[], int]) -> None:
        """`retention_s`: how long results are kept."""
        self._cache = cache
        self._kept_ms = int(retention_s * 1000) + LONGEST_RUN_MS
        self._now_ms = now_ms

    async def sweep(self) -> int:
        """Forget them; how many."""
        return await self._cache.forget(created_before_ms=self._now_ms() - self._kept_ms)
