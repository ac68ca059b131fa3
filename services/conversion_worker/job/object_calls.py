"""Tells an object that cannot be read or written from an object store that is away.

A store that is away ends by itself, and waiting for it costs no attempt. A bad disk block or a denied object may stay
for ever, and a slot that waits for it serves nobody else.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from converto_core.errors import ObjectStoreUnavailable, ResultNotStored, SourceUnreadable
from converto_core.ports.objects import ObjectStore
from converto_infra.clock import Clock
from converto_infra.retry import Retry

Answer = TypeVar("Answer")

# Longer than a store needs to restart or to end a burst of throttling, and short enough that the conversions behind
# this one notice little. The attempts of a conversion multiply it.
OBJECT_ERRORS_S = 30.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ObjectCalls:
    """Repeats calls about single objects until the job's deadline, or until the object itself is to blame."""

    def __init__(self, objects: ObjectStore, clock: Clock) -> None:
        """`objects` is asked whether it answers whenever a call has failed."""
        self._objects, self._clock = objects, clock

    async def read(self, call: Callable[[], Awaitable[Answer]], retry: Retry) -> Answer:
        """Return the answer; raise `SourceUnreadable`, or `ObjectStoreUnavailable` when the store stays away."""
        return await _Judged(call, SourceUnreadable, self._objects, self._clock).repeated(retry)

    async def write(self, call: Callable[[], Awaitable[Answer]], retry: Retry) -> Answer:
        """Return the answer; raise `ResultNotStored`, or `ObjectStoreUnavailable` when the store stays away."""
        return await _Judged(call, ResultNotStored, self._objects, self._clock).repeated(retry)


class _Judged(Generic[Answer]):
    """One call with the time for which it has failed while the store answered; time of an outage adds nothing."""

    def __init__(
        self,
        call: Callable[[], Awaitable[Answer]],
        verdict: type[SourceUnreadable | ResultNotStored],
        objects: ObjectStore,
        clock: Clock,
    ) -> None:
        self._call, self._verdict, self._objects, self._clock = call, verdict, objects, clock
        self._is_away, self._failed_at_s, self._blamed_s = False, float("inf"), 0.0

    async def repeated(self, retry: Retry) -> Answer:
        """Repeat the call; at the job's deadline, too, the object is to blame where the store answers."""
        try:
            return await retry(self._attempt)
        except ObjectStoreUnavailable as error:
            if self._is_away:
                raise
            raise self._found_unusable(error) from error

    async def _attempt(self) -> Answer:
        if self._is_away:
            await self._ping()  # not the call: it would also fail where the store is back, and open the breaker again
        try:
            return await self._call()
        except ObjectStoreUnavailable as error:
            await self._blame(error)
            raise

    async def _blame(self, error: ObjectStoreUnavailable) -> None:
        """Add the time since the last failure, if the store answers; raise the verdict when it is enough."""
        try:
            await self._ping()
        except ObjectStoreUnavailable:
            return
        now_s = self._clock.monotonic()
        self._blamed_s += max(now_s - self._failed_at_s, 0.0)
        self._failed_at_s = now_s
        if self._blamed_s >= OBJECT_ERRORS_S:
            raise self._found_unusable(error) from error

    def _found_unusable(self, error: ObjectStoreUnavailable) -> SourceUnreadable | ResultNotStored:
        log.warning("object.unusable", code=self._verdict.code, reason=error.detail)
        return self._verdict(detail=error.detail)

    async def _ping(self) -> None:
        self._is_away = True
        try:
            await self._objects.ping()
        except ObjectStoreUnavailable:
            self._failed_at_s = float("inf")
            raise
        self._is_away = False
