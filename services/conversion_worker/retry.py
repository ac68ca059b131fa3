"""Repeating calls to a server that is away, until a deadline on the worker's monotonic clock. It knows no server."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from conversion_worker.clock import Clock, backoff_s
from converto_core.errors import DependencyUnavailable

BACKOFF_BASE_S, BACKOFF_MAX_S = 0.25, 2.0

Answer = TypeVar("Answer")
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class DeadlineRetry:
    """How long one job waits for servers; its lease goes on beating meanwhile."""

    def __init__(self, clock: Clock, *, seconds: float) -> None:
        """Runs from now on."""
        self._clock = clock
        self._deadline = clock.monotonic() + seconds

    async def repeat(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of a call that is safe to repeat; raises its `DependencyUnavailable` when patience has run out."""
        failures = 0
        while True:
            try:
                return await call()
            except DependencyUnavailable as error:
                failures += 1
                if self._clock.monotonic() >= self._deadline:
                    raise
                log.warning("job.dependency_away", code=error.stable_code, failures=failures)
            await self._clock.sleep(backoff_s(failures, base_s=BACKOFF_BASE_S, max_s=BACKOFF_MAX_S))
