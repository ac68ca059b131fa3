"""One engine run for the same content and the same request: a job leads, or it reuses the result of the leader."""

from collections.abc import Sequence

import structlog

from conversion_worker.job.results import JobResult, Results
from converto_core.catalogue import Offer
from converto_core.conversion.cache_key import CacheEntry, cache_key, has_result
from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import lose_result
from converto_core.errors import BadSource, ObjectStoreUnavailable, ResultLost
from converto_core.ports.stores import CacheStore, ConversionStore
from converto_infra.clock import Clock
from converto_infra.retry import Retry
from converto_infra.settings import Settings

ROUNDS = 5  # an entry can change between two reads; a job that loses this often runs its engine without leading
FIRST_WAIT_MS, LONGEST_WAIT_MS = 2_000, 60_000  # only for waiters that get no message when their leader ends

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class LeaderRunning(Exception):
    """Raised when another conversion is producing the same result; look again after `wait_ms`."""

    def __init__(self, key: str, *, wait_ms: int) -> None:
        """`key` is the cache key of the result."""
        super().__init__(key)
        self.key, self.wait_ms = key, wait_ms


class SingleFlight:
    """Decides whether a job leads, waits for a leader, or reuses a cached result."""

    def __init__(
        self,
        *,
        cache: CacheStore,
        conversions: ConversionStore,
        results: Results,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._cache = cache
        self._conversions = conversions
        self._results = results
        self._is_on = settings.cache
        self._across_owners = settings.cache_across_owners
        self._clock = clock

    def key(self, claimed: Conversion, contents: Sequence[str], offers: Sequence[Offer]) -> str | None:
        """Return the cache key of this job's result, None when the cache is off or an offer is unknown."""
        if not self._is_on:
            return None
        return cache_key(claimed, contents=contents, offers=offers, is_for_all_owners=self._across_owners)

    async def reuse_awaited(self, claimed: Conversion, retry: Retry) -> JobResult | None:
        """Return the result of the leader that this conversion waited for, before any byte of the source is fetched.

        None when there is no such result. Raises `LeaderRunning`, or the leader's error if this content can only fail.
        """
        key = claimed.waits_for
        if not self._is_on or key is None:
            return None
        entry = await retry(lambda: self._cache.get(key))
        if entry is None or entry.conversion_id == claimed.id:
            return None
        return await self._reuse(entry, claimed, retry)

    async def lead_or_reuse(self, claimed: Conversion, key: str | None, retry: Retry) -> JobResult | None:
        """Return None when this job has to run its engine, else a copied result. Raises `LeaderRunning`."""
        if key is None:
            return None
        own = CacheEntry(
            id=key,
            conversion_id=claimed.id,
            token=claimed.token,
            owner=claimed.owner,
            created_at=self._clock.now_ms(),
        )
        for _ in range(ROUNDS):
            # The insert comes first, so that an ordinary job costs one call. An earlier one whose answer was lost may
            # have stored our entry.
            if await retry(lambda: self._cache.lead(own)):
                return None
            known = await retry(lambda: self._cache.get(key))
            if known is None:
                continue
            if known.is_of(claimed):
                return None
            if not claimed.fresh and (reused := await self._reuse(known, claimed, retry)):
                return reused
            if await self._take_over(known, own, retry):
                return None
        return None

    async def _take_over(self, known: CacheEntry, own: CacheEntry, retry: Retry) -> bool:
        return await retry(lambda: self._cache.take_over(known, own))

    async def _reuse(self, entry: CacheEntry, claimed: Conversion, retry: Retry) -> JobResult | None:
        if entry.owner != claimed.owner and not self._across_owners:
            return None
        leader = await retry(lambda: self._conversions.get(entry.conversion_id))
        if leader is None or not entry.is_of(leader):
            return None  # deleted, or its token is over: the worker that held it works on it no more
        if leader.status is Status.PROCESSING:
            raise LeaderRunning(entry.id, wait_ms=self._wait_ms(leader))
        if leader.is_hopeless and claimed.waits_for == entry.id:
            raise BadSource(leader.error_message, code=leader.error_code, detail="failed like its leader")
        return await self._copy(leader, claimed, retry) if has_result(entry, leader) else None

    async def _copy(self, leader: Conversion, claimed: Conversion, retry: Retry) -> JobResult | None:
        try:
            outputs = await self._results.copy(claimed, leader.outputs)
        except (ResultLost, ObjectStoreUnavailable) as error:
            log.warning("cache.copy_failed", conversion_id=claimed.id, made_by=leader.id, reason=error.detail)
            if isinstance(error, ResultLost):
                # Its record says so from now on, and nobody tries to copy it again.
                change = lose_result(leader, now_ms=self._clock.now_ms())
                await retry(lambda: self._conversions.apply(change))
            return None
        log.info("cache.hit", conversion_id=claimed.id, made_by=leader.id)
        return JobResult(
            outputs=outputs, engine_versions=leader.engine_versions, notes=leader.notes, cached_from=leader.id
        )

    def _wait_ms(self, leader: Conversion) -> int:
        """Wait as long as the leader has run so far: each look without a result doubles the wait."""
        ran_ms = self._clock.now_ms() - (leader.started_at or 0)
        return min(max(ran_ms, FIRST_WAIT_MS), LONGEST_WAIT_MS)
