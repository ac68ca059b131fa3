"""Network faults on the way to each server: refused, reset, black hole, slow, a reply lost after a write or cut."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from tests.chaos.faults.fault import Fault, Met, Passing
from tests.chaos.system import System
from tests.proxy import BOTH_WAYS, Way

DEPENDENCIES = ("database", "broker", "object_store")
AWAY_S, SILENT_S, SLOW_S = 3.0, 4.0, 3.0
LATENCY_S, BYTES_PER_S = 0.15, 200_000.0
SOON_S = 3.0
# Bytes in the requests that change something on the server.
WRITES = {
    "database": (b"findAndModify", b"insert"),
    "broker": (b"conversion_created",),
    "object_store": (b"PUT /",),
}

OneWay = tuple[Way, ...]


async def refuse(system: System, dependency: str) -> Met:
    """Refuse connections and reset the open ones."""
    passing = Passing(system, dependency)
    with system.outage(dependency, "refused"):
        await system.proxies[dependency].stop()
        try:
            await asyncio.sleep(AWAY_S)
        finally:
            await system.proxies[dependency].start()
    return passing.cut


async def reset(system: System, dependency: str) -> Met:
    """Reset all connections at once; new ones work."""
    passing = Passing(system, dependency)
    with system.outage(dependency, "reset"):
        system.proxies[dependency].cut()
    return passing.cut


async def silence(system: System, dependency: str, ways: OneWay) -> Met:
    """Swallow all bytes of old and new connections."""
    passing = Passing(system, dependency)
    with system.outage(dependency, "black hole"):
        system.proxies[dependency].silence(ways)
        try:
            await asyncio.sleep(SILENT_S)
        finally:
            system.proxies[dependency].resume()
    return passing.since(*ways)


async def slow(system: System, dependency: str) -> Met:
    """Add latency and limit the bandwidth."""
    passing = Passing(system, dependency)
    system.proxies[dependency].slow(latency_s=LATENCY_S, bytes_per_s=BYTES_PER_S)
    try:
        await asyncio.sleep(SLOW_S)
    finally:
        system.proxies[dependency].hurry()
    return passing.since(*BOTH_WAYS)


async def lose_reply(system: System, dependency: str) -> Met:
    """Let one write through and drop its reply."""
    write = system.chance.choice(WRITES[dependency])
    done = system.proxies[dependency].lose_reply_to(write)
    try:
        async with asyncio.timeout(SOON_S):
            await done.wait()
    except TimeoutError:
        return Met(0, f"{write.decode()} requests")
    return Met(1, f"{write.decode()} request")


async def cut(system: System, dependency: str) -> Met:
    """Cut one reply in the middle."""
    done = system.proxies[dependency].cut_after(system.chance.randint(1, 2000))
    try:
        async with asyncio.timeout(SOON_S):
            await done.wait()
    except TimeoutError:
        return Met(0, "replies")
    return Met(1, "reply")


def faults() -> list[Fault]:
    """Return all of these for each of the three dependencies."""
    kinds: dict[str, Callable[..., Awaitable[Met]]] = {
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
        Fault(f"{dependency}: {kind}", functools.partial(inject, dependency=dependency))
        for dependency in DEPENDENCIES
        for kind, inject in kinds.items()
    ]
