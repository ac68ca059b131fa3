"""The guard's deadline holds whatever the driver does with a cancellation (C8), shown with PyMongo's own locks."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar

import pytest
from prometheus_client import REGISTRY
from pymongo._asyncio_lock import Condition, Lock
from pymongo.lock import _async_cond_wait
from structlog.testing import capture_logs

from converto_core.errors import StoreUnavailable
from converto_infra.deadline import GRACE_S, AbandonableCalls
from converto_infra.resilience import Guard
from tests.unit.infra.conftest import ManualClock, until

DEADLINE_S = 0.8
LATEST_S = DEADLINE_S + GRACE_S + 4.0  # on a busy machine; a call that hangs does so for ever
REQUEST: ContextVar[str] = ContextVar("REQUEST")


class Broken:
    """What the guard reports about its client."""

    def __init__(self) -> None:
        self.reports: list[tuple[float, str]] = []

    def __call__(self, began_at_s: float, reason: str) -> None:
        self.reports.append((began_at_s, reason))


@pytest.fixture
def broken() -> Broken:
    return Broken()


@pytest.fixture
def guard(broken: Broken, request: pytest.FixtureRequest) -> Guard:
    """A guard with a name of its own, whose breaker never answers in place of the driver."""
    return Guard(
        request.node.name, StoreUnavailable, timeout_s=DEADLINE_S, failures=10_000, reset_s=1, on_broken=broken
    )


@pytest.fixture
async def condition() -> AsyncIterator[Condition]:
    """PyMongo's condition; what still waits for its lock at the end of the test is let go."""
    condition = Condition(Lock())
    yield condition
    if condition.locked():
        condition.release()
    await asyncio.sleep(0)


async def wait_on(condition: Condition) -> str:
    """What PyMongo does while it waits for a server."""
    async with condition:
        await condition.wait()
    return "an answer"


async def lose_lock(condition: Condition, *, after_waiters: int) -> None:
    """Take the lock and never release it, once so many calls wait."""
    await until(lambda: len(condition._waiters) >= after_waiters)
    await condition.acquire()


async def seconds_until_unavailable(call: Callable[[], object]) -> float:
    clock = asyncio.get_running_loop()
    began_at_s = clock.time()
    with pytest.raises(StoreUnavailable):
        await call()  # type: ignore[misc]
    return clock.time() - began_at_s


def metric(name: str, guard: Guard) -> float:
    return REGISTRY.get_sample_value(name, {"dependency": guard.name}) or 0.0


async def test_lost_lock_keeps_nobody_beyond_the_deadline(guard: Guard, condition: Condition) -> None:
    losing = asyncio.create_task(lose_lock(condition, after_waiters=1))

    first_s = await seconds_until_unavailable(lambda: guard.run(lambda: wait_on(condition)))
    await losing
    second_s = await seconds_until_unavailable(lambda: guard.run(lambda: wait_on(condition)))

    assert DEADLINE_S <= first_s < LATEST_S
    assert DEADLINE_S <= second_s < LATEST_S


async def test_fifty_calls_on_a_lost_lock_all_fail_in_time(guard: Guard, condition: Condition) -> None:
    losing = asyncio.create_task(lose_lock(condition, after_waiters=50))

    took_s = await asyncio.gather(
        *(seconds_until_unavailable(lambda: guard.run(lambda: wait_on(condition))) for _ in range(50))
    )

    await losing
    assert max(took_s) < LATEST_S
    assert metric("converto_calls_abandoned_total", guard) == 50
    assert metric("converto_calls_abandoned_active", guard) == 50


async def test_abandoned_call_breaks_the_client(guard: Guard, condition: Condition, broken: Broken) -> None:
    losing = asyncio.create_task(lose_lock(condition, after_waiters=1))

    await seconds_until_unavailable(lambda: guard.run(lambda: wait_on(condition)))

    await losing
    assert [reason for _, reason in broken.reports] == ["a call did not end when it was cancelled"]


async def test_lost_lock_that_the_driver_admits_breaks_the_client(guard: Guard, broken: Broken) -> None:
    async def admit() -> None:
        error = StoreUnavailable(detail="the driver lost its lock")
        error.is_client_broken = True
        raise error

    await seconds_until_unavailable(lambda: guard.run(admit))

    assert [reason for _, reason in broken.reports] == ["the driver lost its lock"]


async def test_lost_lock_is_noticed_though_nobody_waits_for_it(guard: Guard, broken: Broken) -> None:
    """A cancelled caller never sees the error of its call."""
    asked = asyncio.Event()

    async def admit_when_cancelled() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            error = StoreUnavailable(detail="the driver lost its lock")
            error.is_client_broken = True
            raise error from None

    calling = asyncio.create_task(guard.run(admit_when_cancelled))
    await asked.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert [reason for _, reason in broken.reports] == ["the driver lost its lock"]


async def test_cancelled_caller_leaves_a_call_that_hangs(guard: Guard, condition: Condition) -> None:
    calling = asyncio.create_task(guard.run(lambda: wait_on(condition)))
    await lose_lock(condition, after_waiters=1)
    calling.cancel()

    done, _ = await asyncio.wait((calling,), timeout=LATEST_S)

    assert calling in done
    assert calling.cancelled()
    assert guard.state == "closed"


async def test_cancellation_after_the_deadline_loses_no_lock(request: pytest.FixtureRequest) -> None:
    """A second cancellation would end `asyncio.wait_for` while PyMongo's wait for its lock goes on inside."""
    guard = Guard(request.node.name, StoreUnavailable, timeout_s=0.05, failures=10, reset_s=1)
    condition, reached = Condition(Lock()), asyncio.Event()

    async def wait_as_the_driver_does() -> None:
        async with condition:
            reached.set()
            await _async_cond_wait(condition, 10)

    calling = asyncio.create_task(guard.run(wait_as_the_driver_does))
    await reached.wait()
    await condition.acquire()
    await asyncio.wait((calling,), timeout=0.05 + GRACE_S / 2)  # the deadline has passed, the grace has not
    calling.cancel()
    await asyncio.wait((calling,))
    condition.release()

    async with asyncio.timeout(DEADLINE_S), condition:
        pass


async def test_call_that_may_linger_is_not_cancelled_at_its_deadline(request: pytest.FixtureRequest) -> None:
    """A cancellation that meets the end of a wait inside PyMongo would make it lose the lock."""
    guard = Guard(request.node.name, StoreUnavailable, timeout_s=0.05, failures=10, reset_s=1, linger_s=5)
    condition, reached = Condition(Lock()), asyncio.Event()

    async def wait_as_the_driver_does() -> None:
        async with condition:
            reached.set()
            await _async_cond_wait(condition, 0.02)

    calling = asyncio.create_task(guard.run(wait_as_the_driver_does))
    await reached.wait()
    await condition.acquire()  # a busy driver: the wait ends, and its call has to wait for the lock
    with pytest.raises(StoreUnavailable):
        await calling
    condition.release()

    async with asyncio.timeout(DEADLINE_S), condition:
        pass


async def test_call_that_lingers_too_long_is_cancelled(guard: Guard, broken: Broken) -> None:
    lingering = AbandonableCalls(guard.name, on_broken=broken, linger_s=0.05)
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        await lingering.within(0.01, hang)
    assert not cancelled.is_set()

    await asyncio.wait_for(cancelled.wait(), 5)
    assert broken.reports == []


async def test_call_that_ignores_its_late_cancellation_breaks_the_client(broken: Broken, condition: Condition) -> None:
    lingering = AbandonableCalls("database", on_broken=broken, linger_s=0.05)
    losing = asyncio.create_task(lose_lock(condition, after_waiters=1))

    with pytest.raises(TimeoutError):
        await lingering.within(0.1, lambda: wait_on(condition))

    await losing
    await until(lambda: bool(broken.reports))


@pytest.fixture
def deaf() -> Iterator[Callable[[], object]]:
    """A driver that swallows twenty cancellations; it ends with the test."""
    release, swallowed = asyncio.Event(), 0

    async def call() -> str:
        nonlocal swallowed
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 20:
                    raise
        return "a late answer"

    call.release = release  # type: ignore[attr-defined]
    yield call
    release.set()


async def test_driver_that_swallows_twenty_cancellations_is_left_behind(guard: Guard, deaf: Callable[..., str]) -> None:
    for _ in range(3):
        took_s = await seconds_until_unavailable(lambda: guard.run(deaf, timeout_s=0.05))  # type: ignore[arg-type]
        assert took_s < LATEST_S - DEADLINE_S


async def test_late_end_of_an_abandoned_call_is_counted(guard: Guard, deaf: Callable[..., str]) -> None:
    await seconds_until_unavailable(lambda: guard.run(deaf, timeout_s=0.01))  # type: ignore[arg-type]
    assert metric("converto_calls_abandoned_active", guard) == 1

    with capture_logs() as logs:
        deaf.release.set()  # type: ignore[attr-defined]
        await until(lambda: not metric("converto_calls_abandoned_active", guard))

    assert [entry["event"] for entry in logs] == ["call.ended_late"]


async def test_late_error_of_an_abandoned_call_is_consumed(guard: Guard) -> None:
    """asyncio would report it with a traceback when the task is collected."""
    reports: list[object] = []
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reports.append(context))

    async def fail_late() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise OSError("too late")

    await seconds_until_unavailable(lambda: guard.run(fail_late, timeout_s=0.01))
    release.set()
    await until(lambda: not metric("converto_calls_abandoned_active", guard))
    gc.collect()
    loop.set_exception_handler(before)

    assert reports == []


async def test_call_sees_the_context_of_its_caller(guard: Guard) -> None:
    """Log lines carry the request's id, wherever they are written."""
    REQUEST.set("r-1")

    async def read() -> str:
        return REQUEST.get()

    assert await guard.run(read) == "r-1"


def test_process_ends_though_an_abandoned_call_does_not() -> None:
    """`asyncio.run` waits for all tasks, so a lost lock must not keep a stopped service alive."""

    async def serve() -> str:
        condition = Condition(Lock())
        calling = asyncio.create_task(AbandonableCalls("database").within(0.01, lambda: wait_on(condition)))
        await lose_lock(condition, after_waiters=1)
        with pytest.raises(TimeoutError):
            await calling
        return "stopped"

    assert asyncio.run(serve()) == "stopped"


async def test_clock_of_the_guard_does_not_rule_the_deadline(clock: ManualClock) -> None:
    """The breaker's clock is replaceable; a deadline that stood still with it would never pass."""
    guard = Guard("database", StoreUnavailable, timeout_s=0.01, failures=10, reset_s=1, clock=clock)

    assert await seconds_until_unavailable(lambda: guard.run(asyncio.Event().wait)) < LATEST_S
