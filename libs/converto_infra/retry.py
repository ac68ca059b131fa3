"""Exponential backoff with full jitter, and calls that are repeated until a deadline or a stop request."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from converto_core.errors import DependencyUnavailable
from converto_infra.clock import Clock

Answer = TypeVar("Answer")
OnFailure = Callable[[DependencyUnavailable, int], None]


def backoff_s(failures: int, *, first_s: float, longest_s: float) -> float:
    """Return a random pause after so many consecutive failures; full jitter keeps clients from retrying in step."""
    ceiling_s = min(longest_s, first_s * 2.0 ** min(max(failures - 1, 0), 32))
    return random.uniform(0, ceiling_s)  # noqa: S311 - jitter keeps no secret


class Backoff:
    """Pauses between consecutive failures of a loop; `stop` ends a pause early."""

    def __init__(
        self, *, first_s: float, longest_s: float, clock: Clock | None = None, stop: asyncio.Event | None = None
    ) -> None:
        """`first_s` is the longest first pause; it doubles with each failure up to `longest_s`."""
        self.failures = 0
        self._first_s, self._longest_s = first_s, longest_s
        self._clock, self._stop = clock or Clock(), stop or asyncio.Event()

    def reset(self) -> None:
        """Start again with the shortest pause."""
        self.failures = 0

    async def pause(self) -> None:
        """Count one more failure and wait."""
        self.failures += 1
        seconds = backoff_s(self.failures, first_s=self._first_s, longest_s=self._longest_s)
        await self._clock.wait(self._stop, seconds)


class Retry:
    """Repeats calls to a dependency that is away; only for calls that are safe to repeat.

    All calls of one instance share its deadline, which starts to run when the instance is made.
    """

    def __init__(
        self,
        *,
        first_s: float,
        longest_s: float,
        clock: Clock | None = None,
        within_s: float | None = None,
        stop: asyncio.Event | None = None,
        attempts_when_stopped: int | None = None,
        on_failure: OnFailure = lambda error, failures: None,
    ) -> None:
        """Give up `within_s` seconds from now, or when `stop` is set after `attempts_when_stopped` failures.

        `stop` also ends a pause early. `on_failure` is called before each pause with the number of failures so far.
        """
        self._first_s, self._longest_s = first_s, longest_s
        self._clock = clock or Clock()
        self._deadline_s = None if within_s is None else self._clock.monotonic() + within_s
        self._stop, self._attempts_when_stopped = stop or asyncio.Event(), attempts_when_stopped or math.inf
        self._on_failure = on_failure

    async def __call__(
        self, call: Callable[[], Awaitable[Answer]], *, failed: DependencyUnavailable | None = None
    ) -> Answer:
        """Return the answer of `call`; raise its last `DependencyUnavailable` when giving up, other errors at once.

        `failed` is the error of a first attempt that the caller made itself: a pause comes first then.
        """
        try:
            if failed is None:
                return await call()  # without tenacity, which adds about 90 µs to a call
        except DependencyUnavailable as error:
            failed = error

        async def attempt() -> Answer:
            nonlocal failed
            if failed is not None:
                error, failed = failed, None
                raise error
            return await call()

        attempts = AsyncRetrying(
            retry=retry_if_exception_type(DependencyUnavailable),
            wait=lambda state: backoff_s(state.attempt_number, first_s=self._first_s, longest_s=self._longest_s),
            stop=self._is_over,
            before_sleep=self._report,
            sleep=self._pause,
            reraise=True,
        )
        return await attempts(attempt)

    def _is_over(self, state: RetryCallState) -> bool:
        if self._deadline_s is not None and self._clock.monotonic() >= self._deadline_s:
            return True
        return self._stop.is_set() and state.attempt_number >= self._attempts_when_stopped

    async def _pause(self, seconds: float) -> None:
        await self._clock.wait(self._stop, seconds)

    def _report(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, DependencyUnavailable):
            self._on_failure(error, state.attempt_number)
