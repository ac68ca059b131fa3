"""One guard for each server we depend on: deadline, circuit breaker, and retries of calls that may be repeated.

A guard knows no driver. Adapters translate driver errors to `DependencyUnavailable` inside the guarded call; that error
and a missed deadline count as failures, every other answer (a duplicate key, a missing object) shows a live server.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import pybreaker
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from converto_core.errors import BusUnavailable, DependencyUnavailable, ObjectStoreUnavailable, StoreUnavailable
from converto_infra.metrics import BREAKER_CHANGES, BREAKER_STATE, CALL_SECONDS, CALLS, STATE_NUMBERS
from converto_infra.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

RECENT_CALLS = 20  # a server that fails half of its last 20 calls is as useless as one that fails 5 in a row
RETRY_ATTEMPTS = 3
RETRY_FIRST_S, RETRY_LONGEST_S = 0.05, 0.5  # short: a user is waiting; long pauses belong to the outbox


class GuardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a guard has seen so far; `state` is closed, open or half-open."""

    name: str
    state: str
    calls: int
    failures: int
    refused: int
    opened: int


class _Ticket(msgspec.Struct, frozen=True):
    """Admission of one call. Its result counts only while the breaker is in the state that admitted it."""

    generation: int
    is_probe: bool


class Guard:
    """Deadline and breaker around every call to one server.

    pybreaker keeps the states and counts. What asyncio needs is added here: the deadline lies inside, a cancelled call
    counts as nothing, half-open lets exactly one probe through, results from before a state change are ignored, and
    the pause is measured by the monotonic clock.
    """

    def __init__(
        self,
        name: str,
        unavailable: type[DependencyUnavailable],
        *,
        timeout_s: float,
        failures: int,
        reset_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.timeout_s = name, timeout_s
        self._unavailable, self._reset_s, self._clock = unavailable, reset_s, clock
        self._breaker = pybreaker.CircuitBreaker(fail_max=failures, name=name, throw_new_error_on_trip=False)
        self._recent: deque[bool] = deque(maxlen=RECENT_CALLS)
        self._generation, self._opened_at_s, self._is_probing = 0, 0.0, False
        self._calls = self._failures = self._refused = self._opened = 0

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        return str(self._breaker.current_state)

    def report(self) -> GuardReport:
        """Counts since the start, for metrics and health."""
        return GuardReport(
            name=self.name,
            state=self.state,
            calls=self._calls,
            failures=self._failures,
            refused=self._refused,
            opened=self._opened,
        )

    async def run(self, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """Await one call within the deadline; raises the port's own error when the server fails or is given up on."""
        ticket = self._admit()
        try:
            with CALL_SECONDS.labels(self.name).time():
                result = await self._within_deadline(call, timeout_s or self.timeout_s)
        except DependencyUnavailable as error:
            self._settle(ticket, error)
            error.retry_after_s = self._pause_left_s() or error.retry_after_s
            raise
        except asyncio.CancelledError:
            self._is_probing = self._is_probing and not ticket.is_probe  # the next caller may probe instead
            raise
        except Exception:
            self._settle(ticket, None)  # the server answered; what it said is the caller's business
            raise
        self._settle(ticket, None)
        return result

    async def run_repeatable(self, call: Callable[[], Awaitable[T]]) -> T:
        """Like `run`, tried again after quick failures, all within one deadline. Only for calls safe to repeat."""
        deadline_s = self._clock() + self.timeout_s
        attempts = AsyncRetrying(
            retry=retry_if_exception(self._may_pass),
            stop=lambda state: self._is_exhausted(state, deadline_s),
            wait=wait_random_exponential(multiplier=RETRY_FIRST_S, max=RETRY_LONGEST_S),
            reraise=True,
        )

        async def attempt() -> T:
            return await self.run(call, timeout_s=max(deadline_s - self._clock(), 0.001))

        return await attempts(attempt)

    async def _within_deadline(self, call: Callable[[], Awaitable[T]], timeout_s: float) -> T:
        cancelled_before = _cancellations()
        try:
            async with asyncio.timeout(timeout_s):
                result = await call()
        except TimeoutError as error:
            raise self._unavailable(detail=f"{self.name}: no answer within {timeout_s:.1f} s") from error
        except asyncio.CancelledError as error:
            # aiormq cancels the waiter of a dead connection; nobody asked this task to stop, so it is a failure.
            if is_being_cancelled():
                raise
            raise self._unavailable(detail=f"{self.name}: the connection was lost") from error
        except DependencyUnavailable as error:
            if _cancellations() > cancelled_before:
                raise asyncio.CancelledError from error  # the driver raised it instead of the cancellation
            raise
        if _cancellations() > cancelled_before:
            # A driver loses a cancellation that arrives together with its answer (asyncio.wait_for before Python 3.12).
            raise asyncio.CancelledError
        return result

    def _admit(self) -> _Ticket:
        self._calls += 1
        if self.state == pybreaker.STATE_CLOSED:
            return _Ticket(self._generation, is_probe=False)
        if self._is_probing or self._pause_left_s() > 0:
            self._refused += 1
            CALLS.labels(self.name, "refused").inc()
            error = self._unavailable(detail=f"{self.name}: breaker is {self.state}")
            error.retry_after_s = self._pause_left_s() or error.retry_after_s
            raise error
        if self.state == pybreaker.STATE_OPEN:
            self._change(self._breaker.half_open)
        self._is_probing = True
        return _Ticket(self._generation, is_probe=True)

    def _settle(self, ticket: _Ticket, failure: DependencyUnavailable | None) -> None:
        self._failures += failure is not None
        CALLS.labels(self.name, "failed" if failure else "answered").inc()
        if ticket.is_probe:
            self._is_probing = False
        if ticket.generation != self._generation:
            return
        self._recent.append(failure is None)
        self._change(lambda: self._count(failure))

    def _count(self, failure: DependencyUnavailable | None) -> None:
        """Tell pybreaker the outcome as a call that ends at once; it decides about the state."""
        if failure is None:
            self._breaker.call(lambda: None)
        else:
            with contextlib.suppress(_CallFailed):
                self._breaker.call(_raise_call_failed)
        too_many = len(self._recent) == RECENT_CALLS and self._recent.count(False) * 2 >= RECENT_CALLS
        if too_many and self.state == pybreaker.STATE_CLOSED:
            self._breaker.open()

    def _change(self, act: Callable[[], object]) -> None:
        """Run what may change the state; a change starts a new generation and is logged."""
        before = self.state
        act()
        if self.state == before:
            return
        self._generation += 1
        self._recent.clear()
        if self.state == pybreaker.STATE_OPEN:
            self._opened_at_s = self._clock()
            self._opened += 1
        BREAKER_STATE.labels(self.name).set(STATE_NUMBERS[self.state])
        BREAKER_CHANGES.labels(self.name, self.state).inc()
        self._tell(before)

    def _tell(self, before: str) -> None:
        """Say loudly when an outage begins and when it ends; probes that fail in between are told to who asks."""
        tell = log.debug
        if before == pybreaker.STATE_CLOSED:
            tell = log.warning
        elif self.state == pybreaker.STATE_CLOSED:
            tell = log.info
        tell("breaker.changed", breaker=self.name, before=before, after=self.state)

    def _pause_left_s(self) -> float:
        if self.state != pybreaker.STATE_OPEN:
            return 0.0
        return max(self._opened_at_s + self._reset_s - self._clock(), 0.0)

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, DependencyUnavailable) and self.state == pybreaker.STATE_CLOSED

    def _is_exhausted(self, state: RetryCallState, deadline_s: float) -> bool:
        return stop_after_attempt(RETRY_ATTEMPTS)(state) or self._clock() + state.upcoming_sleep >= deadline_s


def database_guard(settings: Settings, *, name: str = "database", timeout_s: float | None = None) -> Guard:
    """The guard of MongoDB; `timeout_s` where the usual deadline is too long."""
    return _guard(name, StoreUnavailable, timeout_s or settings.mongodb_timeout_s, settings)


def broker_guard(settings: Settings) -> Guard:
    """The guard of publishing to RabbitMQ; slots have their own back-off instead."""
    return _guard("broker", BusUnavailable, settings.rabbitmq_timeout_s, settings)


def object_store_guard(settings: Settings) -> Guard:
    """The guard of S3."""
    return _guard("object_store", ObjectStoreUnavailable, settings.s3_timeout_s, settings)


def _guard(name: str, unavailable: type[DependencyUnavailable], timeout_s: float, settings: Settings) -> Guard:
    return Guard(
        name,
        unavailable,
        timeout_s=timeout_s,
        failures=settings.breaker_failures,
        reset_s=settings.breaker_reset_s,
    )


class _CallFailed(Exception):
    """What pybreaker is shown instead of the true error, whose traceback would grow by its frames."""


def _raise_call_failed() -> None:
    raise _CallFailed


def is_being_cancelled() -> bool:
    """True when someone asked this task to stop; false for a CancelledError that a driver made up."""
    return _cancellations() > 0


def _cancellations() -> int:
    """How often this task was asked to stop, whether or not it noticed."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
