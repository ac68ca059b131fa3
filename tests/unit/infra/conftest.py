"""A clock for the tests of infrastructure."""

import pytest


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
