"""The clocks and waits of a process in one class, so that tests can control time."""

import asyncio
import random
import time

from converto_core import ids


class Clock:
    """Two clocks and two ways to wait: deadlines and leases use `monotonic`, records use `now_ms`."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never jumps."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch, UTC."""
        return ids.now_ms()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for `event`, at most `seconds`; return whether it is set."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


def jittered_s(seconds: float, share: float = 0.2) -> float:
    """Shorten an interval by a random part of up to `share`: many workers spread out, and no beat comes too late."""
    return seconds * random.uniform(1 - share, 1)  # noqa: S311 - jitter keeps no secret
