"""One engine run for the same content and the same request: a job leads, or it takes what another one makes or made.

It changes no status. It knows no program and no message: what it returns or raises decides elsewhere.
"""

from collections.abc import Sequence

import structlog

from conversion_worker.clock import Clock
from conversion_worker.job.result import Finished
from conversion_worker.job.results import Results
from conversion_worker.retry import DeadlineRetry
from converto_core.catalogue import Offer
from converto_core.conversion.cache_key import CacheEntry, cache_key, has_result
from converto_core.conversion.record import Conversion, Status
from converto_core.errors import BadSource, ObjectStoreUnavailable, SourceGone
from converto_core.ports.stores import CacheStore, ConversionStore
from converto_infra.settings import Settings

ROUNDS = 5  # an entry can change between two looks; who loses that often runs its engine without leading
FOLLOW_FIRST_MS, FOLLOW_LONGEST_MS = 2_000, 60_000  # only for followers that nobody wakes

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class LeaderRunning(Exception):
    """Raised when another conversion makes the same result at this moment; look again after `wait_ms`."""

    def __init__(self, key: str, *, wait_ms: int) -> None:
        """`key` is the cache key of the result."""
        super().__init__(key)
        self.key, self.wait_ms = key, wait_ms


class SingleFlight:
    """Who makes which result, as the workers see it."""

    def __init__(
        self,
        *,
        cache: CacheStore,
        conversions: ConversionStore,
        results: Results,
        settings: Settings,
        clock: Clock,
    ) -> None:
        """Everything is passed in; nothing is opened here."""
        self._cache = cache
        self._conversions = conversions
        self._results = results
        self._is_on = settings.cache
        self._across_owners = settings.cache_across_owners
        self._clock = clock

    def key(self, claimed: Conversion, contents: Sequence[str], offers: Sequence[Offer]) -> str | None:
        """The key of this job's result; None when nothing is shared."""
        if not self._is_on:
            return None
        return cache_key(claimed, contents=contents, offers=offers, is_for_all_owners=self._across_owners)

    async def look_again(self, claimed: Conversion, patience: DeadlineRetry) -> Finished | None:
        """For a conversion that followed another one: what came of that, before any byte of the source is fetched.

        The other one's result, None when there is none; raises `LeaderRunning`, or how the other one failed if this
        content can only fail.
        """
        key = claimed.waits_for
        if not self._is_on or key is None:
            return None
        entry = await patience.repeat(lambda: self._cache.get(key))
        if entry is None or entry.conversion_id == claimed.id:
            return None
        return await self._taken_from(entry, claimed, patience)

    async def lead_or_take(self, claimed: Conversion, key: str | None, patience: DeadlineRetry) -> Finished | None:
        """None when this job has to run its engine; else the result of another one. Raises `LeaderRunning`."""
        if key is None:
            return None
        entry = CacheEntry(
            id=key,
            conversion_id=claimed.id,
            token=claimed.token,
            owner=claimed.owner,
            created_at=self._clock.now_ms(),
        )
        for _ in range(ROUNDS):
            # The insert comes first, so that an ordinary job costs one call. It may have got through unanswered before.
            if await patience.repeat(lambda: self._cache.lead(entry)):
                return None
            known = await patience.repeat(lambda: self._cache.get(key))
            if known is None:
                continue
            if known.is_of(claimed):
                return None
            if not claimed.fresh and (finished := await self._taken_from(known, claimed, patience)):
                return finished
            if await self._take_over(known, entry, patience):
                return None
        return None

    async def _take_over(self, known: CacheEntry, entry: CacheEntry, patience: DeadlineRetry) -> bool:
        return await patience.repeat(lambda: self._cache.take_over(known, entry))

    async def _taken_from(self, entry: CacheEntry, claimed: Conversion, patience: DeadlineRetry) -> Finished | None:
        if entry.owner != claimed.owner and not self._across_owners:
            return None
        maker = await patience.repeat(lambda: self._conversions.get(entry.conversion_id))
        if maker is None or not entry.is_of(maker):
            return None  # deleted, or its token is over: whoever held it works no more
        if maker.status is Status.PROCESSING:
            raise LeaderRunning(entry.id, wait_ms=self._wait_ms(maker))
        if maker.is_hopeless and claimed.waits_for == entry.id:
            raise BadSource(maker.error_message, code=maker.error_code, detail="as the one that it waited for")
        return await self._copied(maker, claimed) if has_result(entry, maker) else None

    async def _copied(self, maker: Conversion, claimed: Conversion) -> Finished | None:
        try:
            outputs = await self._results.copy(claimed, maker.outputs)
        except (SourceGone, ObjectStoreUnavailable) as error:
            log.warning("cache.copy_failed", conversion_id=claimed.id, made_by=maker.id, reason=error.detail)
            return None
        log.info("cache.hit", conversion_id=claimed.id, made_by=maker.id)
        return Finished(outputs=outputs, engine_versions=maker.engine_versions, notes=maker.notes, cached_from=maker.id)

    def _wait_ms(self, maker: Conversion) -> int:
        """As long as it has run so far: each look without an answer doubles that."""
        ran_ms = self._clock.now_ms() - (maker.started_at or 0)
        return min(max(ran_ms, FOLLOW_FIRST_MS), FOLLOW_LONGEST_MS)
