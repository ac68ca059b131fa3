"""An event loop whose time a test moves: it never waits, and it knows when nothing is left to do. No threads either."""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MOST_EVENTS = 20_000  # moments within one stretch of time; more means that somebody repeats without waiting


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, then stands still. `advance` goes from timer to timer, as a simulation of events does."""

    def __init__(self) -> None:
        """Time begins at some moment that is not zero."""
        self._now = 1000.0
        self._never_waits = _NeverWaits(self.stop)
        super().__init__(self._never_waits)
        self.set_default_executor(_Inline())

    def time(self) -> float:
        """Seconds, as far as they were advanced."""
        return self._now

    def settle(self) -> float | None:
        """Run until everybody waits; seconds to the next timer, None without any."""
        self._never_waits.gap_s = None
        self.run_forever()
        return self._never_waits.gap_s

    def advance(self, seconds: float, at_rest: Callable[[], None]) -> None:
        """Let that much time pass; `at_rest` is called each time when everybody waits."""
        end = self._now + seconds
        for _ in range(MOST_EVENTS):
            gap_s = self.settle()
            at_rest()
            if gap_s is None or self._now + gap_s > end:
                self._now = end
                return
            self._now += gap_s
        raise AssertionError(f"more than {MOST_EVENTS} moments within {seconds} s: somebody repeats without waiting")

    def jump(self, seconds: float) -> None:
        """Let all timers of a long stretch ring late and once, as after a machine slept."""
        self._now += seconds
        self.settle()


class _NeverWaits(selectors.DefaultSelector):
    """Is asked to wait only when nothing is ready: that is the moment at which the loop rests."""

    def __init__(self, rest: Callable[[], None]) -> None:
        super().__init__()
        self.gap_s: float | None = None
        self._rest = rest

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self.gap_s = timeout
            self._rest()
        return super().select(0)


class _Inline(ThreadPoolExecutor):
    """Does at once what is meant for a thread, so that the order of events is the same each time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done
