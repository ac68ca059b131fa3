"""An event loop in fake time: it never waits, runs no threads, and reports when it is idle."""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MOST_EVENTS = 20_000  # timers within one `advance`; more means that some code loops without waiting


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, then stops. `advance` jumps from timer to timer, like a discrete-event simulation."""

    def __init__(self) -> None:
        """Start at a time other than zero."""
        self._now = 1000.0
        self._never_waits = _NeverWaits(self.stop)
        super().__init__(self._never_waits)
        self.set_default_executor(_Inline())

    def time(self) -> float:
        """The fake time in seconds."""
        return self._now

    def settle(self) -> float | None:
        """Run until the loop is idle; returns the seconds to the next timer, or None without one."""
        self._never_waits.gap_s = None
        self.run_forever()
        return self._never_waits.gap_s

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
        raise AssertionError(f"more than {MOST_EVENTS} timers within {seconds} s: some code loops without waiting")

    def jump(self, seconds: float) -> None:
        """Fire all timers of a long period late and once, as after the machine was suspended."""
        self._now += seconds
        self.settle()


class _NeverWaits(selectors.DefaultSelector):
    """Called with a timeout only when nothing is ready, which is when the loop is idle."""

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
    """Runs thread work inline, so that the order of events is deterministic."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done
