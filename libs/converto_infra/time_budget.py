"""The time that one request may take in total, however many calls it makes; guards shorten their deadlines to it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_BUDGET: ContextVar["TimeBudget | None"] = ContextVar("_BUDGET", default=None)


class TimeBudget:
    """Seconds that run out, except while they are stopped.

    It holds for the asyncio task that spends it. Background tasks that this task starts have no budget.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at_s = clock() + seconds
        self._stopped_at_s: float | None = None
        self._spender: asyncio.Task[object] | None = None

    @property
    def left_s(self) -> float:
        """Seconds that are left; negative when they are used up."""
        return self._ends_at_s - (self._clock() if self._stopped_at_s is None else self._stopped_at_s)

    @property
    def is_stopped(self) -> bool:
        """True while no time is counted."""
        return self._stopped_at_s is not None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count the time within this context, such as that of a client who sends a body."""
        began_at_s = self._stopped_at_s = self._clock()
        try:
            yield
        finally:
            self._stopped_at_s = None
            self._ends_at_s += self._clock() - began_at_s

    def extend(self, seconds: float) -> None:
        """Allow more time."""
        self._ends_at_s += seconds

    @contextmanager
    def spent_here(self) -> Iterator[None]:
        """Let the guarded calls of the current task spend this budget."""
        self._spender = asyncio.current_task()
        token = _BUDGET.set(self)
        try:
            yield
        finally:
            _BUDGET.reset(token)

    def is_spent_by(self, task: asyncio.Task[object] | None) -> bool:
        """True in the task that spends this budget, false in those that it started."""
        return self._spender is task


@contextmanager
def uncounted() -> Iterator[None]:
    """Do not count the time that the current request spends in this context, because it waits for no server."""
    budget = _BUDGET.get()
    if budget is None or not budget.is_spent_by(asyncio.current_task()):
        yield
        return
    with budget.stopped():
        yield


def left_s() -> float:
    """Seconds that the current task may still take; infinite for work that no user waits for."""
    budget = _BUDGET.get()
    if budget is None or not budget.is_spent_by(asyncio.current_task()):
        return float("inf")
    return budget.left_s
