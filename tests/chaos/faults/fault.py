"""What a fault is, what it met, and how a process is made to crash at a named point."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from tests.chaos.processes.crash_points import CrashRequest
from tests.chaos.service import Service
from tests.chaos.system import System
from tests.proxy import Way

REACHED_WITHIN_S = 4.0


class Met(msgspec.Struct, frozen=True):
    """What a fault met: how much of what. A fault that met nothing has proved nothing and does not count."""

    count: int
    what: str


class Fault(msgspec.Struct, frozen=True):
    """One named way to break something. `inject` breaks it, heals it and then returns what it met.

    A fault with `is_parallel` runs while others are injected.
    """

    name: str
    inject: Callable[[System], Awaitable[Met]]
    is_parallel: bool = False


async def crash_at(system: System, point: str, *, within_s: float = REACHED_WITHIN_S) -> Met:
    """Make the next process that reaches the point crash."""
    request = CrashRequest(system.crashes, point)
    request.make()
    try:
        async with asyncio.timeout(within_s):
            while not request.is_taken:  # noqa: ASYNC110 - another process takes it
                await asyncio.sleep(0.02)
    except TimeoutError:
        request.withdraw()
    return Met(1, "process at the point") if request.is_taken else Met(0, "processes reached the point")


def in_flight(system: System, *workers: Service) -> Met:
    """Return the conversions that these workers hold now."""
    count = sum(len(system.journal.held_by(worker.pid)) for worker in workers if worker.is_running)
    return Met(count, "conversions in flight")


def waiting_requests(system: System, *apis: Service) -> Met:
    """Return the requests and streams that wait for an answer of these file services."""
    urls = [url for api, url in zip(system.apis, system.api_urls, strict=True) if api in apis and api.is_running]
    count = sum(system.traffic.requests[url] + system.traffic.streams[url] for url in urls)
    return Met(count, "requests in flight")


class Passing:
    """Counts what arrives at a proxy from now on."""

    def __init__(self, system: System, dependency: str) -> None:
        self._proxy = system.proxies[dependency]
        self._before = dict(self._proxy.passed)
        self._busy = self._proxy.busy()

    @property
    def cut(self) -> Met:
        """The connections that carried something just before; idle ones notice nothing."""
        return Met(self._busy, "connections with traffic")

    def since(self, *ways: Way) -> Met:
        """Return the messages that have arrived meanwhile."""
        return Met(sum(self._proxy.passed[way] - self._before[way] for way in ways), "messages on the way")
