"""What a fault is, and how a process is made to die at a named point."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from tests.chaos.processes.death import DeathRequest
from tests.chaos.site import Site

REACHED_WITHIN_S = 4.0


class Fault(msgspec.Struct, frozen=True):
    """One named way to break something. `strike` breaks it, mends it again and returns then.

    What `strike` returns is told behind the name. One that is `beside` the others goes on while they strike.
    """

    name: str
    strike: Callable[[Site], Awaitable[str | None]]
    is_beside: bool = False


async def die_at(site: Site, point: str) -> str | None:
    """Whoever reaches the point next dies there."""
    request = DeathRequest(site.deaths, point)
    request.make()
    try:
        async with asyncio.timeout(REACHED_WITHIN_S):
            while not request.is_taken:  # noqa: ASYNC110 - another process takes it
                await asyncio.sleep(0.02)
    except TimeoutError:
        request.withdraw()
        return None if request.is_taken else "nobody came by"
    return None
