"""The time of one request, and how guards spend it (C8)."""

import asyncio

import pytest

from converto_core.errors import StoreUnavailable
from converto_infra.resilience import Guard
from converto_infra.time_budget import TimeBudget, left_s, uncounted
from tests.unit.infra.conftest import ManualClock


@pytest.fixture
def guard(request: pytest.FixtureRequest) -> Guard:
    return Guard(request.node.name, StoreUnavailable, timeout_s=5, failures=1, reset_s=60)


def test_time_runs_out_except_while_it_is_stopped(clock: ManualClock) -> None:
    budget = TimeBudget(1.5, clock=clock)
    clock.now_s += 1
    with budget.stopped():
        clock.now_s += 10
        assert budget.left_s == pytest.approx(0.5)
    clock.now_s += 1

    assert budget.left_s == pytest.approx(-0.5)


async def test_time_belongs_to_the_task_that_spends_it(clock: ManualClock) -> None:
    assert left_s() == float("inf")
    with TimeBudget(1.5, clock=clock).spent_here():
        assert left_s() == 1.5
        assert await asyncio.create_task(asyncio.to_thread(lambda: 0)) == 0
        assert await asyncio.create_task(read_left()) == float("inf")
        with uncounted():
            clock.now_s += 10
        assert left_s() == 1.5
    assert left_s() == float("inf")


async def read_left() -> float:
    return left_s()


async def test_call_without_time_is_refused_before_it_is_made(guard: Guard, clock: ManualClock) -> None:
    made: list[int] = []

    async def call() -> None:
        made.append(1)

    with TimeBudget(0, clock=clock).spent_here(), pytest.raises(StoreUnavailable) as refused:
        await guard.run(call)

    assert made == []
    assert "used up" in refused.value.detail
    assert guard.state == "closed"


async def test_call_with_little_time_says_nothing_about_its_server(guard: Guard) -> None:
    """The last call of a slow request must not open the breaker for everybody."""
    with TimeBudget(0.02).spent_here(), pytest.raises(StoreUnavailable):
        await guard.run(asyncio.Event().wait)

    assert guard.state == "closed"
    assert await guard.run(read_left) == float("inf")


async def test_call_that_had_a_fair_time_counts(guard: Guard) -> None:
    with TimeBudget(0.6).spent_here(), pytest.raises(StoreUnavailable):
        await guard.run(asyncio.Event().wait)

    assert guard.state == "open"
