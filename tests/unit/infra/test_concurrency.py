"""Work side by side: the first error is raised, and a cancellation from outside is never swallowed (M14)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from converto_core.errors import BusUnavailable
from converto_infra.concurrency import all_of, unless

Under = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


class Work:
    """Runs until it is cancelled, and then fails while it cleans up, as a consumer whose broker is away does."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def run(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise BusUnavailable(detail="the channel is closed")


async def watched(work: Coroutine[Any, Any, Any]) -> Any:
    return await unless(asyncio.Event(), work)


async def watched_twice(work: Coroutine[Any, Any, Any]) -> Any:
    return await unless(asyncio.Event(), unless(asyncio.Event(), work))


async def beside_others(work: Coroutine[Any, Any, Any]) -> Any:
    return await all_of([lambda: work], at_once=2)


@pytest.mark.parametrize("under", [watched, watched_twice, beside_others])
async def test_cancellation_wins_over_an_error_while_cleaning_up(under: Under) -> None:
    """A slot treats an error as a reason to go on; only the cancellation ends it."""
    work = Work()
    running = asyncio.create_task(under(work.run()))
    await work.began.wait()
    running.cancel()
    await asyncio.wait([running])

    assert running.cancelled()


async def test_cancellation_wins_over_an_error_of_the_same_moment() -> None:
    fails = asyncio.Event()

    async def fail() -> None:
        await fails.wait()
        raise BusUnavailable(detail="the broker is away")

    running = asyncio.create_task(watched(fail()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    fails.set()
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])

    assert running.cancelled()


@pytest.mark.parametrize("under", [watched, watched_twice, beside_others])
async def test_error_alone_is_raised_as_it_is(under: Under) -> None:
    async def fail() -> None:
        raise BusUnavailable(detail="the broker is away")

    with pytest.raises(BusUnavailable):
        await under(fail())


async def test_deadline_of_the_caller_holds() -> None:
    """`asyncio.timeout` works by a cancellation too."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await watched(Work().run())


async def test_event_ends_the_work_without_an_answer() -> None:
    event, ended = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        try:
            event.set()
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    assert await unless(event, work()) is None
    assert ended.is_set()
