"""Time that a test controls, and waits for a condition instead of a sleep."""

import asyncio
from collections.abc import Awaitable, Callable

from converto_infra.clock import Clock

START_MS = 1_790_000_000_000


class FakeClock(Clock):
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    @property
    def is_waited_for(self) -> bool:
        return bool(self._sleepers)

    def monotonic(self) -> float:
        return self._now

    def now_ms(self) -> int:
        return START_MS + int(self._now * 1000)

    async def sleep(self, seconds: float) -> None:
        sleeper = self._add_sleeper(seconds)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        sleeper = self._add_sleeper(seconds)
        waiting = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait((waiting, sleeper[1]), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sleepers.remove(sleeper)
            waiting.cancel()
        return event.is_set()

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._ring()

    def _add_sleeper(self, seconds: float) -> tuple[float, asyncio.Future[None]]:
        sleeper = (self._now + max(seconds, 0), asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        self._ring()
        return sleeper

    def _ring(self) -> None:
        for due, alarm in self._sleepers:
            if due <= self._now and not alarm.done():
                alarm.set_result(None)


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = 5.0) -> None:
    """Let other coroutines run until the condition holds; raise `TimeoutError` after the deadline."""
    async with asyncio.timeout(within_s):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.001)


async def advance_until(clock: FakeClock, condition: Callable[[], bool], *, step_s: float = 0.5) -> None:
    """Advance the clock step by step until the condition holds."""

    def held() -> bool:
        if not condition():
            clock.advance(step_s)
        return condition()

    await until(held)
