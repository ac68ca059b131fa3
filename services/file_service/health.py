"""Health checks of the file service's dependencies, run concurrently with a short deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from converto_core.errors import DependencyUnavailable
from file_service.conversions.offers import Offers
from file_service.http.schemas.health import Check, Health

CHECK_DEADLINE_S = 1.5
"""For the whole answer: like any other it must arrive within 2 s, and load balancers wait no longer than 5 s."""
REQUIRED = ("database", "object_store")

Ping = Callable[[], Awaitable[None]]
Faults = Callable[[], tuple[str, ...]]


class HealthCheck:
    """Pings each dependency."""

    def __init__(
        self,
        pings: Mapping[str, Ping],
        offers: Offers,
        *,
        faults: Mapping[str, Faults] | None = None,
        deadline_s: float = CHECK_DEADLINE_S,
    ) -> None:
        """`pings` are keyed by dependency: database, broker, object_store; so are the `faults` of their parts."""
        self._pings = pings
        self._faults = faults or {}
        self._offers = offers
        self._deadline_s = deadline_s
        self.is_prepared = False

    async def check(self) -> Health:
        """Run all checks; `unavailable` without database or object store, or before start-up has finished."""
        checking = asyncio.gather(*(self._check(name) for name in self._pings))
        sandbox, checks = await asyncio.gather(self._sandbox(), checking)
        by_name = dict(zip(self._pings, checks, strict=True))
        away = {name for name, check in by_name.items() if check.status != "ok"}
        if away & set(REQUIRED) or not self.is_prepared:
            return Health(status="unavailable", checks=by_name, sandbox=sandbox)
        is_well = not away and not any(check.faults for check in checks)
        return Health(status="ok" if is_well else "degraded", checks=by_name, sandbox=sandbox)

    async def _check(self, name: str) -> Check:
        ping = self._pings[name]
        started = time.perf_counter()
        error = None
        try:
            async with asyncio.timeout(self._deadline_s):
                await ping()
        except DependencyUnavailable as away:
            error = away.stable_code
        except TimeoutError:
            error = f"no answer within {self._deadline_s:g} s"
        latency_ms = round((time.perf_counter() - started) * 1000, 1)
        faults = self._faults[name]() if name in self._faults else ()
        return Check(status="unavailable" if error else "ok", latency_ms=latency_ms, error=error, faults=faults)

    async def _sandbox(self) -> str | None:
        """Return the sandboxes that running workers use; None if no worker runs."""
        try:
            async with asyncio.timeout(self._deadline_s):
                workers = await self._offers.alive()
        except (DependencyUnavailable, TimeoutError):
            return None
        return ", ".join(sorted({worker.sandbox for worker in workers})) or None
