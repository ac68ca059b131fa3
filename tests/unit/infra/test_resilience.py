"""The guard around each dependency (behaviour C8), in the situations that asyncio creates."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from converto_core.errors import BusUnavailable, DuplicateKey, StoreUnavailable
from converto_infra.resilience import RECENT_CALLS, Guard
from tests.unit.infra.conftest import ManualClock

FAILURES, RESET_S = 3, 2.0


@pytest.fixture
def guard(clock: ManualClock, request: pytest.FixtureRequest) -> Guard:
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


async def test_successful_call_returns_its_answer() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=1, failures=1, reset_s=1)

    assert await guard.run(succeed) == "answer"


async def test_failures_in_a_row_open_the_breaker_which_then_refuses(guard: Guard) -> None:
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


async def test_refusal_of_single_calls_is_no_outage(guard: Guard) -> None:
    """One object that may not be read must not close the object store to everybody."""
    attempts: list[int] = []

    async def refuse() -> None:
        attempts.append(1)
        error = StoreUnavailable(detail="403")
        error.has_answered = True
        raise error

    for _ in range(2 * RECENT_CALLS):
        with pytest.raises(StoreUnavailable, match="not reachable"):
            await guard.run_repeatable(refuse)

    assert guard.state == "closed"
    assert len(attempts) == 2 * RECENT_CALLS
    assert calls_of(guard, "failed") == 0


async def test_success_between_failures_keeps_the_breaker_closed(guard: Guard) -> None:
    await fail_often(guard, FAILURES - 1)
    await guard.run(succeed)
    await fail_often(guard, FAILURES - 1)

    assert guard.state == "closed"


async def test_failure_rate_of_one_half_opens_the_breaker(guard: Guard) -> None:
    for _ in range(RECENT_CALLS // 2):
        assert guard.state == "closed"
        await guard.run(succeed)
        await fail_often(guard, 1)

    assert guard.state == "open"


async def test_error_answered_by_the_server_counts_as_success(guard: Guard) -> None:
    async def duplicate() -> None:
        raise DuplicateKey("taken")

    await fail_often(guard, FAILURES - 1)
    with pytest.raises(DuplicateKey):
        await guard.run(duplicate)
    await fail_often(guard, FAILURES - 1)

    assert guard.state == "closed"


async def test_missed_deadline_counts_as_failure(guard: Guard) -> None:
    for _ in range(FAILURES):
        with pytest.raises(StoreUnavailable):
            await guard.run(never, timeout_s=0.001)

    assert guard.state == "open"


async def test_cancelled_call_counts_as_nothing(guard: Guard) -> None:
    for _ in range(FAILURES + 1):
        call = asyncio.create_task(guard.run(never))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert guard.state == "closed"
    assert calls_of(guard, "failed") == 0


async def test_cancellation_swallowed_by_the_driver_is_delivered(guard: Guard) -> None:
    """PyMongo loses a cancellation that arrives with the answer; a cancelled task would never end."""
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


async def test_cancellation_replaced_by_a_driver_error_is_delivered(guard: Guard) -> None:
    """Found by the chaos suite: a cancelled PyMongo call can raise an error about its own lock instead."""
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


async def test_answer_after_a_swallowed_deadline_counts() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=0.01, failures=1, reset_s=1)

    async def deaf() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            return "late answer"
        return "unreachable"

    assert await guard.run(deaf) == "late answer"


async def test_cancellation_raised_by_the_driver_alone_is_a_failure(guard: Guard) -> None:
    async def lost_connection() -> None:
        raise asyncio.CancelledError

    for _ in range(FAILURES):
        with pytest.raises(StoreUnavailable):
            await guard.run(lost_connection)

    assert guard.state == "open"


async def test_half_open_admits_exactly_one_of_fifty_callers(guard: Guard, clock: ManualClock) -> None:
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


async def test_failed_probe_opens_the_breaker_again(guard: Guard, clock: ManualClock) -> None:
    await opened(guard)
    clock.now_s += RESET_S

    await fail_often(guard, 1)
    assert guard.state == "open"
    clock.now_s += RESET_S / 2
    with pytest.raises(StoreUnavailable) as refused:
        await guard.run(succeed)

    assert refused.value.retry_after_s == RESET_S / 2


async def test_cancelled_probe_leaves_the_next_caller_to_probe(guard: Guard, clock: ManualClock) -> None:
    await opened(guard)
    clock.now_s += RESET_S
    probe = asyncio.create_task(guard.run(never))
    await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    assert await guard.run(succeed) == "answer"
    assert guard.state == "closed"


async def test_failure_from_before_the_recovery_is_ignored(guard: Guard, clock: ManualClock) -> None:
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


async def test_success_from_before_the_outage_does_not_close(guard: Guard) -> None:
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
    """A call that fails this many times before it succeeds, and the list of its attempts."""
    tries: list[int] = []

    async def call() -> str:
        tries.append(1)
        if len(tries) <= times:
            raise StoreUnavailable
        return "answer"

    return call, tries


async def test_quick_failure_is_retried() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=5, failures=10, reset_s=1)
    call, tries = failing(1)

    assert await guard.run_repeatable(call) == "answer"
    assert len(tries) == 2


@pytest.mark.parametrize(
    ("failures", "attempts"),
    [pytest.param(10, 3, id="attempts-used-up"), pytest.param(1, 1, id="breaker-open")],
)
async def test_retries_end_after_three_attempts_or_an_open_breaker(failures: int, attempts: int) -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=5, failures=failures, reset_s=1)
    call, tries = failing(99)

    with pytest.raises(StoreUnavailable):
        await guard.run_repeatable(call)

    assert len(tries) == attempts


async def test_used_up_deadline_ends_retries() -> None:
    guard = Guard("database", StoreUnavailable, timeout_s=0.02, failures=10, reset_s=1)
    tries: list[int] = []

    def hang() -> Awaitable[str]:
        tries.append(1)
        return never()

    with pytest.raises(StoreUnavailable):
        await guard.run_repeatable(hang)

    assert len(tries) == 1


async def test_guard_raises_the_error_of_its_own_port() -> None:
    guard = Guard("broker", BusUnavailable, timeout_s=0.001, failures=1, reset_s=1)

    with pytest.raises(BusUnavailable):
        await guard.run(never)
