"""A clock for the tests of infrastructure, and waiting for what happens in the background."""

import asyncio
from collections.abc import Callable

import pytest

SOON_S = 5.0


class ManualClock:
    """A monotonic clock (seconds) that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until a test moves it."""
    return ManualClock()


async def until(is_true: Callable[[], bool]) -> None:
    """Let the event loop run until something has happened."""
    async with asyncio.timeout(SOON_S):
        while True:
            if is_true():
                return
            await asyncio.sleep(0.001)
