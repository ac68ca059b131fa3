"""Retries with backoff: what is repeated, how long, and who may end it."""

import asyncio
from typing import Any

import pytest

from converto_core.errors import DependencyUnavailable, SourceGone, StoreUnavailable
from converto_infra.retry import Backoff, Retry, backoff_s
from tests.unit.fake_clock import FakeClock, advance_until, until


class Server:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.failures, self.calls = failures, 0
        self.error = error or StoreUnavailable(detail="away")

    async def ask(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "answer"


def retry(clock: FakeClock, **limits: Any) -> Retry:
    return Retry(first_s=1, longest_s=4, clock=clock, **limits)


async def test_call_is_repeated_until_it_succeeds() -> None:
    clock, server, reported = FakeClock(), Server(3), list[int]()
    asking = asyncio.create_task(retry(clock, on_failure=lambda _, count: reported.append(count))(server.ask))
    await advance_until(clock, asking.done)

    assert asking.result() == "answer"
    assert (server.calls, reported) == (4, [1, 2, 3])


async def test_deadline_raises_the_last_error() -> None:
    clock, server = FakeClock(), Server(1000)
    asking = asyncio.create_task(retry(clock, within_s=10)(server.ask))
    await advance_until(clock, asking.done)

    assert asking.exception() is server.error
    assert 1010 <= clock.monotonic() <= 1016


async def test_calls_of_one_instance_share_the_deadline() -> None:
    clock, server = FakeClock(), Server(1000)
    once = retry(clock, within_s=10)
    clock.advance(10)

    with pytest.raises(StoreUnavailable):
        await once(server.ask)
    assert server.calls == 1


@pytest.mark.parametrize("error", [SourceGone(), asyncio.CancelledError(), KeyError("a bug")], ids=repr)
async def test_other_errors_and_cancellations_pass_at_once(error: BaseException) -> None:
    server = Server(1, error)

    with pytest.raises(type(error)):
        await retry(FakeClock())(server.ask)
    assert server.calls == 1


async def test_cancellation_ends_a_pause() -> None:
    clock = FakeClock()
    asking = asyncio.create_task(retry(clock)(Server(1000).ask))
    await until(lambda: clock.is_waited_for)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_stop_skips_pauses_and_limits_attempts() -> None:
    server, stop = Server(1000), asyncio.Event()
    stop.set()

    with pytest.raises(DependencyUnavailable):
        await retry(FakeClock(), stop=stop, attempts_when_stopped=3)(server.ask)
    assert server.calls == 3


async def test_stop_alone_never_gives_up() -> None:
    server, stop = Server(20), asyncio.Event()
    stop.set()

    assert await retry(FakeClock(), stop=stop)(server.ask) == "answer"


async def test_failure_of_the_caller_counts_as_the_first() -> None:
    clock, server, reported = FakeClock(), Server(0), list[int]()
    once = retry(clock, on_failure=lambda _, count: reported.append(count))
    asking = asyncio.create_task(once(server.ask, failed=StoreUnavailable()))
    await until(lambda: clock.is_waited_for)

    assert (server.calls, reported) == (0, [1])
    await advance_until(clock, asking.done)
    assert asking.result() == "answer"


def test_pauses_double_up_to_the_longest() -> None:
    longest = [max(backoff_s(failures, first_s=1, longest_s=4) for _ in range(300)) for failures in (1, 2, 3, 9, 5000)]

    assert [round(seconds + 0.49) for seconds in longest] == [1, 2, 4, 4, 4]


async def test_backoff_counts_failures_until_it_is_reset() -> None:
    stop = asyncio.Event()
    stop.set()
    backoff = Backoff(first_s=1, longest_s=4, clock=FakeClock(), stop=stop)
    await backoff.pause()
    await backoff.pause()
    counted = backoff.failures
    backoff.reset()

    assert (counted, backoff.failures) == (2, 0)
