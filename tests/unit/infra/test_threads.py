"""Threads that hang are replaced, so that calls after them are served (C8)."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from converto_infra.threads import CallThreads
from tests.unit.infra.conftest import SOON_S

THREADS = 4


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """Calls wait for this event; it is set at the end, so that no thread outlives the test."""
    release = threading.Event()
    yield release
    release.set()


async def give_up(threads: CallThreads, hang: threading.Event, calls: int) -> None:
    """Make calls that hang, and give them up like a guard whose deadline has passed."""
    for _ in range(calls):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await threads.run(hang.wait)


async def test_calls_are_served_though_all_threads_hang(hang: threading.Event) -> None:
    threads = CallThreads("object_store", THREADS)

    with capture_logs() as logs:
        await give_up(threads, hang, 3 * THREADS)

    assert await asyncio.wait_for(threads.run(lambda: "an answer"), SOON_S) == "an answer"
    assert {entry["event"] for entry in logs} == {"threads.replaced"}
    threads.close()


async def test_call_that_waits_for_a_hanging_thread_fails_at_once(hang: threading.Event) -> None:
    threads = CallThreads("object_store", 2)
    busy = [asyncio.create_task(threads.run(hang.wait)) for _ in range(2)]
    waiting = asyncio.create_task(threads.run(lambda: "an answer"))
    await asyncio.sleep(0)

    for call in busy:
        call.cancel()
    await asyncio.wait((*busy, waiting), timeout=SOON_S)

    assert waiting.cancelled()
    threads.close()


async def test_number_of_threads_that_hang_is_bounded(hang: threading.Event) -> None:
    threads = CallThreads("object_store", THREADS, most_left_behind=THREADS)
    before = threading.active_count()

    await give_up(threads, hang, 10 * THREADS)

    assert threading.active_count() - before <= 3 * THREADS
    threads.close()


async def test_threads_that_end_in_time_are_kept() -> None:
    threads = CallThreads("object_store", THREADS)
    releases = [threading.Event() for _ in range(2 * THREADS)]

    with capture_logs() as logs:
        for release in releases:
            call = asyncio.create_task(threads.run(release.wait))
            await asyncio.sleep(0)
            call.cancel()
            release.set()
            await asyncio.wait((call,))
            await threads.run(lambda: None)  # the thread before has ended

    assert logs == []
    threads.close()
