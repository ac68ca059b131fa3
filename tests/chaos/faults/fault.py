"""What a fault is, and how a process is made to crash at a named point."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from tests.chaos.processes.crash_points import CrashRequest
from tests.chaos.system import System

REACHED_WITHIN_S = 4.0


class Fault(msgspec.Struct, frozen=True):
    """One named way to break something. `inject` breaks it, heals it and then returns.

    What `inject` returns is printed after the name. A fault with `is_parallel` runs while others are injected.
    """

    name: str
    inject: Callable[[System], Awaitable[str | None]]
    is_parallel: bool = False


async def crash_at(system: System, point: str) -> str | None:
    """Make the next process that reaches the point crash."""
    request = CrashRequest(system.crashes, point)
    request.make()
    try:
        async with asyncio.timeout(REACHED_WITHIN_S):
            while not request.is_taken:  # noqa: ASYNC110 - another process takes it
                await asyncio.sleep(0.02)
    except TimeoutError:
        request.withdraw()
        return None if request.is_taken else "no process reached the point"
    return None
