"""Faults of the way to each server: refused, reset, black hole, slow, a reply lost after its write or cut short."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from tests.chaos.faults.fault import Fault
from tests.chaos.site import Site
from tests.proxy import BOTH_WAYS, Way

DEPENDENCIES = ("database", "broker", "object_store")
AWAY_S, SILENT_S, SLOW_S = 3.0, 4.0, 3.0
LATENCY_S, BYTES_PER_S = 0.15, 200_000.0
SOON_S = 3.0
# What a request holds that changes something on the server.
WRITES = {
    "database": (b"findAndModify", b"insert"),
    "broker": (b"conversion_created",),
    "object_store": (b"PUT /",),
}

OneWay = tuple[Way, ...]


async def refuse(site: Site, dependency: str) -> None:
    """Nobody listens, and what was connected is reset."""
    with site.outage(dependency, "refused"):
        await site.proxies[dependency].stop()
        try:
            await asyncio.sleep(AWAY_S)
        finally:
            await site.proxies[dependency].start()


async def reset(site: Site, dependency: str) -> None:
    """All connections at once, in the middle of whatever they do; new ones work."""
    with site.outage(dependency, "reset"):
        site.proxies[dependency].cut()


async def silence(site: Site, dependency: str, ways: OneWay) -> None:
    """A black hole, for connections of before and new ones."""
    with site.outage(dependency, "black hole"):
        site.proxies[dependency].silence(ways)
        try:
            await asyncio.sleep(SILENT_S)
        finally:
            site.proxies[dependency].resume()


async def slow(site: Site, dependency: str) -> None:
    """Late and thin."""
    site.proxies[dependency].slow(latency_s=LATENCY_S, bytes_per_s=BYTES_PER_S)
    try:
        await asyncio.sleep(SLOW_S)
    finally:
        site.proxies[dependency].hurry()


async def lose_reply(site: Site, dependency: str) -> str | None:
    """A write gets through, and its writer never hears of it."""
    write = site.chance.choice(WRITES[dependency])
    done = site.proxies[dependency].lose_reply_to(write)
    try:
        async with asyncio.timeout(SOON_S):
            await done.wait()
    except TimeoutError:
        return f"{write.decode()}: none came by"
    return write.decode()


async def cut(site: Site, dependency: str) -> None:
    """One reply ends in the middle."""
    site.proxies[dependency].cut_after(site.chance.randint(1, 2000))


def faults() -> list[Fault]:
    """All of these for each of the three dependencies."""
    manners: dict[str, Callable[..., Awaitable[str | None]]] = {
        "refused": refuse,
        "reset": reset,
        "black hole": functools.partial(silence, ways=BOTH_WAYS),
        "black hole on the way there": functools.partial(silence, ways=(Way.TO_SERVER,)),
        "black hole on the way back": functools.partial(silence, ways=(Way.TO_CLIENT,)),
        "slow": slow,
        "reply lost after a write": lose_reply,
        "reply cut in the middle": cut,
    }
    return [
        Fault(f"{dependency}: {manner}", functools.partial(strike, dependency=dependency))
        for dependency in DEPENDENCIES
        for manner, strike in manners.items()
    ]
