"""Whether the file service and what it needs are well. Checks run side by side and never wait for long."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from converto_core.errors import DependencyUnavailable
from file_service.conversions.offers import Offers
from file_service.http.schemas import Check, Health

CHECK_DEADLINE_S = 2.0
"""Below the usual 5 s of load balancers: an answer that says "away" is better than none."""
NEEDED = ("database", "object_store")

Ping = Callable[[], Awaitable[None]]


class HealthCheck:
    """Asks each dependency for a sign of life."""

    def __init__(self, pings: Mapping[str, Ping], offers: Offers) -> None:
        """`pings` by name: database, broker, object_store."""
        self._pings = pings
        self._offers = offers
        self.is_prepared = False

    async def examine(self) -> Health:
        """All checks; `unavailable` without database or object store, or before the start-up is done."""
        checks = await asyncio.gather(*(self._check(ping) for ping in self._pings.values()))
        by_name = dict(zip(self._pings, checks, strict=True))
        away = {name for name, check in by_name.items() if check.status != "ok"}
        sandbox = None if "database" in away else await self._sandbox()
        if away & set(NEEDED) or not self.is_prepared:
            return Health(status="unavailable", checks=by_name, sandbox=sandbox)
        return Health(status="degraded" if away else "ok", checks=by_name, sandbox=sandbox)

    async def _check(self, ping: Ping) -> Check:
        started = time.perf_counter()
        error = None
        try:
            async with asyncio.timeout(CHECK_DEADLINE_S):
                await ping()
        except DependencyUnavailable as away:
            error = away.stable_code
        except TimeoutError:
            error = f"no answer within {CHECK_DEADLINE_S:g} s"
        latency_ms = round((time.perf_counter() - started) * 1000, 1)
        return Check(status="unavailable" if error else "ok", latency_ms=latency_ms, error=error)

    async def _sandbox(self) -> str | None:
        """How the living workers lock their programs in; None without any."""
        try:
            async with asyncio.timeout(CHECK_DEADLINE_S):
                workers = await self._offers.alive()
        except (DependencyUnavailable, TimeoutError):
            return None
        return ", ".join(sorted({worker.sandbox for worker in workers})) or None
