"""One guard per server: a deadline, a circuit breaker, and retries of calls that are safe to repeat.

Adapters translate driver errors to `DependencyUnavailable` inside the guarded call. That error and a missed deadline
count as failures. Every other result (a duplicate key, a missing object, an object that may not be read) proves that
the server is alive.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pybreaker
import structlog
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_random_exponential

from converto_core.errors import (
    BusUnavailable,
    DependencyUnavailable,
    ObjectStoreUnavailable,
    StoreUnavailable,
    UploadEventsUnavailable,
)
from converto_infra import time_budget
from converto_infra.deadline import AbandonableCalls, CallAborted, OnBroken, OnMissed
from converto_infra.metrics import BREAKER_CHANGES, BREAKER_STATE, CALL_SECONDS, CALLS, STATE_NUMBERS
from converto_infra.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

RECENT_CALLS = 20  # a server that fails half of its last 20 calls is as useless as one that fails 5 in a row
RETRY_ATTEMPTS = 3
RETRY_FIRST_S, RETRY_LONGEST_S = 0.05, 0.5  # short: a user is waiting; long pauses belong to the outbox
# A request whose time is nearly used up gives its last call less than a healthy server needs; missing that deadline
# says nothing about the server.
FAIR_TIMEOUT_S = 0.5
# The driver's own deadlines, each as long as that of a call: finding a server, a connection, opening it, the answer.
DATABASE_STEPS = 4


class Guard(pybreaker.CircuitBreakerListener):
    """Deadline and breaker around every call to one server.

    pybreaker counts failures and keeps the state, each state as a new object. This class adds what asyncio needs: a
    result counts only while the state that admitted its call lasts, a cancelled call does not count, half-open admits
    exactly one probe, and the monotonic clock measures how long the breaker stays open.
    """

    def __init__(
        self,
        name: str,
        unavailable: type[DependencyUnavailable],
        *,
        timeout_s: float,
        failures: int,
        reset_s: float,
        on_broken: OnBroken | None = None,
        on_missed: OnMissed | None = None,
        linger_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open after `failures` in a row, for `reset_s`; raise `unavailable` for a deadline or an open breaker.

        `on_broken` and `on_missed` are told of calls that show that the client may be broken, and a call may go on for
        `linger_s` after its deadline (see `AbandonableCalls`).
        """
        self.name, self.timeout_s = name, timeout_s
        self._unavailable, self._reset_s, self._clock = unavailable, reset_s, clock
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=failures, name=name, listeners=[self], throw_new_error_on_trip=False
        )
        self._calls = AbandonableCalls(name, on_broken=on_broken, on_missed=on_missed, linger_s=linger_s)
        self._recent_failures: deque[bool] = deque(maxlen=RECENT_CALLS)
        self._opened_at_s, self._is_probing = 0.0, False

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        return str(self._breaker.current_state)

    async def run(self, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """Await one call; raises `unavailable` when it fails, misses the deadline, or the breaker refuses it.

        The deadline is shorter when the time of the request is used up before it.
        """
        own_s, left_s = timeout_s or self.timeout_s, time_budget.left_s()
        if left_s <= 0:
            raise self._unavailable(detail=f"{self.name}: the time of this request is used up")
        admitted_by = self._admit()
        try:
            with CALL_SECONDS.labels(self.name).time():
                result = await self._within_deadline(call, min(own_s, left_s))
        except DependencyUnavailable as error:
            if isinstance(error.__cause__, TimeoutError) and left_s < min(own_s, FAIR_TIMEOUT_S):
                self._leave(admitted_by)
            else:
                self._record(admitted_by, failed=not error.has_answered)
            error.retry_after_s = self._open_for_s() or error.retry_after_s
            raise
        except asyncio.CancelledError:
            self._leave(admitted_by)
            raise
        except Exception:
            self._record(admitted_by, failed=False)  # the server answered; the caller handles the error
            raise
        self._record(admitted_by, failed=False)
        return result

    async def run_repeatable(self, call: Callable[[], Awaitable[T]]) -> T:
        """Like `run`, but retry quick failures within the one deadline. Only for calls that are safe to repeat."""
        deadline_s = self._clock() + self.timeout_s
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._is_worth_a_retry),
            stop=stop_after_attempt(RETRY_ATTEMPTS) | stop_before_delay(self.timeout_s),
            wait=wait_random_exponential(multiplier=RETRY_FIRST_S, max=RETRY_LONGEST_S),
            reraise=True,
        )

        async def attempt() -> T:
            return await self.run(call, timeout_s=max(deadline_s - self._clock(), 0.001))

        return await retrying(attempt)

    def state_change(self, cb: pybreaker.CircuitBreaker, old_state: Any, new_state: Any) -> None:
        """Count and log a new state; called by pybreaker before `state` shows it."""
        del cb
        self._recent_failures.clear()
        self._is_probing = False
        if new_state.name == pybreaker.STATE_OPEN:
            self._opened_at_s = self._clock()
        BREAKER_STATE.labels(self.name).set(STATE_NUMBERS[new_state.name])
        BREAKER_CHANGES.labels(self.name, new_state.name).inc()
        if old_state.name == pybreaker.STATE_CLOSED:
            write = log.warning
        elif new_state.name == pybreaker.STATE_CLOSED:
            write = log.info
        else:
            write = log.debug  # a failed probe: the outage was reported when it began
        write("breaker.changed", breaker=self.name, before=old_state.name, after=new_state.name)

    def _admit(self) -> object:
        """The state that admits this call; raises `unavailable` when the breaker refuses it."""
        if self.state == pybreaker.STATE_OPEN and self._open_for_s() == 0:
            self._breaker.half_open()
        is_probe = self.state == pybreaker.STATE_HALF_OPEN and not self._is_probing
        if self.state != pybreaker.STATE_CLOSED and not is_probe:
            CALLS.labels(self.name, "refused").inc()
            error = self._unavailable(detail=f"{self.name}: breaker is {self.state}")
            error.retry_after_s = self._open_for_s() or error.retry_after_s
            raise error
        self._is_probing = is_probe
        return self._breaker.state

    async def _within_deadline(self, call: Callable[[], Awaitable[T]], timeout_s: float) -> T:
        try:
            return await self._calls.within(timeout_s, call)
        except TimeoutError as error:
            raise self._unavailable(detail=f"{self.name}: no answer within {timeout_s:.1f} s") from error
        except CallAborted as error:
            raise self._unavailable(detail=f"{self.name}: the connection was lost") from error

    def _leave(self, admitted_by: object) -> None:
        """End a call that says nothing about the server; the next caller may probe instead."""
        if admitted_by is self._breaker.state:
            self._is_probing = False

    def _record(self, admitted_by: object, *, failed: bool) -> None:
        CALLS.labels(self.name, "failed" if failed else "answered").inc()
        if admitted_by is not self._breaker.state:
            return
        self._recent_failures.append(failed)
        is_failing = len(self._recent_failures) == RECENT_CALLS and sum(self._recent_failures) * 2 >= RECENT_CALLS
        with contextlib.suppress(_CallFailed):
            self._breaker.call(_fail if failed else _succeed)
        if is_failing and self.state == pybreaker.STATE_CLOSED:
            self._breaker.open()

    def _open_for_s(self) -> float:
        """Seconds until the breaker admits a probe; 0 when it is not open."""
        if self.state != pybreaker.STATE_OPEN:
            return 0.0
        return max(self._opened_at_s + self._reset_s - self._clock(), 0.0)

    def _is_worth_a_retry(self, error: BaseException) -> bool:
        is_passing = isinstance(error, DependencyUnavailable) and not error.has_answered
        return is_passing and self.state == pybreaker.STATE_CLOSED


class _CallFailed(Exception):
    """Stands for the real error inside pybreaker, which would add its own frames to the traceback."""


def _fail() -> None:
    raise _CallFailed


def _succeed() -> None:
    """Nothing to do: pybreaker records the success."""


def database_guard(
    settings: Settings,
    *,
    name: str = "database",
    timeout_s: float | None = None,
    on_broken: OnBroken | None = None,
    on_missed: OnMissed | None = None,
) -> Guard:
    """The guard of MongoDB; `timeout_s` replaces the configured deadline of one call."""
    call_timeout_s = timeout_s or settings.mongodb_timeout_s
    return Guard(
        name,
        StoreUnavailable,
        timeout_s=call_timeout_s,
        linger_s=DATABASE_STEPS * call_timeout_s,
        failures=settings.breaker_failures,
        reset_s=settings.breaker_reset_s,
        on_broken=on_broken,
        on_missed=on_missed,
    )


def broker_guard(settings: Settings) -> Guard:
    """The guard of publishing to RabbitMQ; consumers back off on their own instead."""
    return _guard("broker", BusUnavailable, settings.rabbitmq_timeout_s, settings)


def object_store_guard(settings: Settings) -> Guard:
    """The guard of S3."""
    return _guard("object_store", ObjectStoreUnavailable, settings.s3_timeout_s, settings)


def upload_events_guard(settings: Settings) -> Guard:
    """The guard of SQS, whose calls may take as long as those of S3."""
    return _guard("upload_events", UploadEventsUnavailable, settings.s3_timeout_s, settings)


def _guard(name: str, unavailable: type[DependencyUnavailable], timeout_s: float, settings: Settings) -> Guard:
    return Guard(
        name,
        unavailable,
        timeout_s=timeout_s,
        failures=settings.breaker_failures,
        reset_s=settings.breaker_reset_s,
    )
