"""The guard around each dependency (behaviour C8), case by case as asyncio makes them happen."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from converto_core.errors import BusUnavailable, DuplicateKey, StoreUnavailable
from converto_infra.resilience import RECENT_CALLS, Guard

FAILURES, RESET_S = 3, 2.0


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock, request: pytest.FixtureRequest) -> Guard:
    """A guard with a name of its own, so that its metrics count this test alone."""
    return Guard(request.node.name, StoreUnavailable, timeout_s=0.2, failures=FAILURES, reset_s=RESET_S, clock=clock)


async def succeed() -> str:
    return "answer"


async def fail() -> str:
    raise StoreUnavailable(detail="refused")


def never() -> Awaitable[str]:
    return asyncio.get_running_loop().create_future()


async def fail_often(guard: Guard, times: int) -> None:
    for _ in range(times):
        with pytest.raises(StoreUnavailable):
            await guard.run(fail)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def calls_of(guard: Guard, outcome: str) -> float:
    return metric("converto_dependency_calls_total", dependency=guard.name, outcome=outcome)


async def opened(guard: Guard) -> None:
    await fail_often(guard, FAILURES)
    assert guard.state == "open"


async def test_call_when_it_succeeds_then_its_answer() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=1, failures=1, reset_s=1)

    assert await guard.run(succeed) == "answer"


async def test_breaker_when_failures_follow_each_other_then_opens_and_refuses_without_calling(guard: Guard) -> None:
    calls: list[int] = []

    async def counted() -> None:
        calls.append(1)

    await opened(guard)
    with pytest.raises(StoreUnavailable) as refused:
        await guard.run(counted)

    assert calls == []
    assert refused.value.retry_after_s == RESET_S
    assert calls_of(guard, "refused") == 1
    assert metric("converto_breaker_changes_total", dependency=guard.name, to="open") == 1


async def test_breaker_when_a_success_lies_between_then_stays_closed(guard: Guard) -> None:
    await fail_often(guard, FAILURES - 1)
    await guard.run(succeed)
    await fail_often(guard, FAILURES - 1)

    assert guard.state == "closed"


async def test_breaker_when_half_of_the_calls_fail_then_opens_though_never_in_a_row(guard: Guard) -> None:
    for _ in range(RECENT_CALLS // 2):
        assert guard.state == "closed"
        await guard.run(succeed)
        await fail_often(guard, 1)

    assert guard.state == "open"


async def test_breaker_when_the_server_answers_with_an_error_of_its_own_then_counts_as_alive(guard: Guard) -> None:
    async def duplicate() -> None:
        raise DuplicateKey("taken")

    await fail_often(guard, FAILURES - 1)
    with pytest.raises(DuplicateKey):
        await guard.run(duplicate)
    await fail_often(guard, FAILURES - 1)

    assert guard.state == "closed"


async def test_deadline_when_missed_then_counted_and_raised_as_the_ports_error(guard: Guard) -> None:
    for _ in range(FAILURES):
        with pytest.raises(StoreUnavailable):
            await guard.run(never, timeout_s=0.001)

    assert guard.state == "open"


async def test_cancellation_when_it_hits_a_call_then_goes_on_and_counts_as_nothing(guard: Guard) -> None:
    for _ in range(FAILURES + 1):
        call = asyncio.create_task(guard.run(never))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert guard.state == "closed"
    assert calls_of(guard, "failed") == 0


async def test_cancellation_when_a_driver_swallows_it_then_goes_on_all_the_same(guard: Guard) -> None:
    """PyMongo loses a cancellation that comes together with the answer; work that was told to end would never end."""
    asked = asyncio.Event()

    async def deaf() -> str:
        asked.set()
        try:
            await never()
        except asyncio.CancelledError:
            return "answer"
        return "unreachable"

    calling = asyncio.create_task(guard.run(deaf))
    await asked.wait()
    calling.cancel()

    with pytest.raises(asyncio.CancelledError):
        await calling
    assert guard.state == "closed"


async def test_cancellation_when_a_driver_raises_an_error_instead_then_goes_on_all_the_same(guard: Guard) -> None:
    """Found by the chaos suite: PyMongo confuses its lock when it is cancelled, and raises about that."""
    asked = asyncio.Event()

    async def confused() -> str:
        asked.set()
        try:
            return await never()
        except asyncio.CancelledError:
            raise StoreUnavailable(detail="the driver lost its lock") from None

    call = asyncio.create_task(guard.run(confused))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert calls_of(guard, "failed") == 0


async def test_deadline_when_a_driver_swallows_it_then_its_answer_counts() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=0.01, failures=1, reset_s=1)

    async def deaf() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            return "late answer"
        return "unreachable"

    assert await guard.run(deaf) == "late answer"


async def test_cancellation_when_a_driver_made_it_up_then_a_failure(guard: Guard) -> None:
    async def lost_connection() -> None:
        raise asyncio.CancelledError

    for _ in range(FAILURES):
        with pytest.raises(StoreUnavailable):
            await guard.run(lost_connection)

    assert guard.state == "open"


async def test_half_open_when_fifty_call_at_once_then_exactly_one_gets_through(guard: Guard, clock: Clock) -> None:
    await opened(guard)
    clock.now_s += RESET_S
    started = 0
    release = asyncio.Event()

    async def probe() -> str:
        nonlocal started
        started += 1
        await release.wait()
        return "alive"

    calls = [asyncio.create_task(guard.run(probe)) for _ in range(50)]
    await asyncio.sleep(0)
    assert guard.state == "half-open"
    release.set()
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert started == 1
    assert results.count("alive") == 1
    assert sum(isinstance(result, StoreUnavailable) for result in results) == 49
    assert guard.state == "closed"


async def test_half_open_when_the_probe_fails_then_open_for_another_pause(guard: Guard, clock: Clock) -> None:
    await opened(guard)
    clock.now_s += RESET_S

    await fail_often(guard, 1)
    assert guard.state == "open"
    clock.now_s += RESET_S / 2
    with pytest.raises(StoreUnavailable) as refused:
        await guard.run(succeed)

    assert refused.value.retry_after_s == RESET_S / 2


async def test_half_open_when_the_probe_is_cancelled_then_the_next_caller_probes(guard: Guard, clock: Clock) -> None:
    await opened(guard)
    clock.now_s += RESET_S
    probe = asyncio.create_task(guard.run(never))
    await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    assert await guard.run(succeed) == "answer"
    assert guard.state == "closed"


async def test_late_failure_when_it_began_before_the_recovery_then_ignored(guard: Guard, clock: Clock) -> None:
    release = asyncio.Event()

    async def slow_failure() -> None:
        await release.wait()
        raise StoreUnavailable

    old = [asyncio.create_task(guard.run(slow_failure)) for _ in range(FAILURES)]
    await asyncio.sleep(0)
    await opened(guard)
    clock.now_s += RESET_S
    await guard.run(succeed)
    release.set()
    await asyncio.gather(*old, return_exceptions=True)

    assert guard.state == "closed"


async def test_late_success_when_it_began_before_the_outage_then_does_not_close(guard: Guard) -> None:
    release = asyncio.Event()

    async def slow_success() -> None:
        await release.wait()

    old = asyncio.create_task(guard.run(slow_success))
    await asyncio.sleep(0)
    await opened(guard)
    release.set()
    await old

    assert guard.state == "open"


def failing(times: int) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    """A call that fails so many times before it succeeds, and the list of its tries."""
    tries: list[int] = []

    async def call() -> str:
        tries.append(1)
        if len(tries) <= times:
            raise StoreUnavailable
        return "answer"

    return call, tries


async def test_repeatable_when_it_fails_quickly_then_tried_again() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=5, failures=10, reset_s=1)
    call, tries = failing(1)

    assert await guard.run_repeatable(call) == "answer"
    assert len(tries) == 2


async def test_repeatable_when_it_keeps_failing_then_given_up_after_three() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=5, failures=10, reset_s=1)
    call, tries = failing(99)

    with pytest.raises(StoreUnavailable):
        await guard.run_repeatable(call)

    assert len(tries) == 3


async def test_repeatable_when_the_breaker_opens_then_not_tried_again() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=5, failures=1, reset_s=1)
    call, tries = failing(99)

    with pytest.raises(StoreUnavailable):
        await guard.run_repeatable(call)

    assert len(tries) == 1


async def test_repeatable_when_the_deadline_is_used_up_then_not_tried_again() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=0.02, failures=10, reset_s=1)
    tries: list[int] = []

    def hang() -> Awaitable[str]:
        tries.append(1)
        return never()

    with pytest.raises(StoreUnavailable):
        await guard.run_repeatable(hang)

    assert len(tries) == 1


async def test_guard_when_another_ports_error_is_its_own_then_raises_that() -> None:
    guard = Guard("broker", BusUnavailable, timeout_s=0.001, failures=1, reset_s=1)

    with pytest.raises(BusUnavailable):
        await guard.run(never)
