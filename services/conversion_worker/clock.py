"""Time as the worker sees it, so that tests can own it. It knows nothing of conversions."""

import asyncio
import random
import time
from typing import Protocol

from converto_core import ids


class Clock(Protocol):
    """Two clocks and two ways to wait. Deadlines and leases use `monotonic`, records use `now_ms`."""

    def monotonic(self) -> float:
        """Seconds that never jump, from an arbitrary start."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch, UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for the event, but not longer than that; True when it is set."""


class SystemClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        """Seconds since some moment before this process started."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return ids.now_ms()

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for the event, but not longer than that; True when it is set."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


def backoff_s(failures: int, *, base_s: float, max_s: float) -> float:
    """Seconds to wait after so many failures in a row: exponential, with full jitter so that nobody retries in step."""
    ceiling_s = min(max_s, base_s * 2.0 ** min(max(failures - 1, 0), 32))
    return random.uniform(0, ceiling_s)  # noqa: S311 - jitter keeps no secret


def jittered_s(seconds: float, share: float = 0.2) -> float:
    """The interval, up to `share` shorter: many workers spread out, and no beat comes later than promised."""
    return seconds * random.uniform(1 - share, 1)  # noqa: S311 - jitter keeps no secret
