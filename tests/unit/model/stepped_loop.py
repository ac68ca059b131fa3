"""An event loop in fake time: it never waits, runs no threads, and reports when it is idle.

Its runs are the same each time, and their limits are counted in turns of the loop and in timers, never in real time: on
a busy machine a healthy run may take any time.
"""

import asyncio
import itertools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

MOST_EVENTS = 20_000  # timers within one `advance`; more means that some code loops without waiting
MOST_TURNS = (
    20_000  # between two rests; a busy cluster takes some two hundred, so more means that some code never waits
)


class EndlessLoop(AssertionError):
    """Raised when code goes on without ever waiting for time to pass."""


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, then stops. `advance` jumps from timer to timer, like a discrete-event simulation."""

    def __init__(self) -> None:
        """Start at a time other than zero."""
        self._now = 1000.0
        self._never_waits = _NeverWaits(self.stop)
        super().__init__(self._never_waits)
        self.set_task_factory(_numbered)

    def time(self) -> float:
        """The fake time in seconds."""
        return self._now

    def settle(self) -> float | None:
        """Run until the loop is idle; returns the seconds to the next timer, or None without one."""
        return self._never_waits.run(self.run_forever, MOST_TURNS, EndlessLoop(f"not idle after {MOST_TURNS} turns"))

    def run_turns(self, turns: int) -> None:
        """Run so many turns, or until the loop is idle: what was going on is left in the middle."""
        self._never_waits.run(self.run_forever, turns, None)

    def advance(self, seconds: float, at_rest: Callable[[], None]) -> None:
        """Let time pass; `at_rest` is called each time the loop is idle."""
        end = self._now + seconds
        for _ in range(MOST_EVENTS):
            gap_s = self.settle()
            at_rest()
            if gap_s is None or self._now + gap_s > end:
                self._now = end
                return
            self._now += gap_s
        raise EndlessLoop(f"more than {MOST_EVENTS} timers within {seconds} s: some code loops without waiting")

    def run_until_complete(self, future: Any) -> Any:
        """Run until the future is done, with turns of its own: those of the last run may be nearly used up."""
        self._never_waits.allow(MOST_TURNS)
        return super().run_until_complete(future)

    def jump(self, seconds: float) -> None:
        """Fire all timers of a long period late and once, as after the machine was suspended."""
        self._now += seconds
        self.settle()

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """There is no other thread."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Run thread work inline, so that the order of events is deterministic."""
        del executor
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class _NeverWaits(selectors.SelectSelector):
    """Called once per turn of the loop; with a timeout only when nothing is ready, which is when the loop is idle."""

    def __init__(self, rest: Callable[[], None]) -> None:
        super().__init__()
        self._rest = rest
        self._gap_s: float | None = None
        self._turns_left = MOST_TURNS
        self._too_many: EndlessLoop | None = None

    def run(self, run: Callable[[], None], turns: int, too_many: EndlessLoop | None) -> float | None:
        """Run until the loop is idle or the turns are used up, which raises `too_many`, if that is given."""
        self.allow(turns, too_many)
        run()
        return self._gap_s

    def allow(self, turns: int, too_many: EndlessLoop | None = None) -> None:
        """Allow so many turns from now on."""
        self._gap_s, self._turns_left, self._too_many = None, turns, too_many

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._gap_s = timeout
            self._rest()
        self._turns_left -= 1
        if self._turns_left == 0:
            if self._too_many is not None:
                raise self._too_many
            self._rest()
        return []


class _NumberedTask(asyncio.Task[Any]):
    """A task with a hash of its own: asyncio keeps tasks in sets, whose order would depend on addresses in memory."""

    numbers = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(self.numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


def _numbered(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **named: Any) -> asyncio.Task[Any]:
    return _NumberedTask(work, loop=loop, **named)


class NumberedIds:
    """Makes ids that sort by time, and are the same in each run."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        number = next(self._numbers)
        return f"{number:08x}-0000-7000-8000-{number:012x}"
