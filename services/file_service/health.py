"""Health checks of the file service's dependencies, run concurrently with a short deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from converto_core.catalogue import Worker
from converto_core.errors import DependencyUnavailable
from file_service.conversions.offers import Offers, engines_not_answering
from file_service.http.schemas.health import Check, Health

CHECK_DEADLINE_S = 1.0
"""For the whole answer: like any other it must arrive within 2 s, and load balancers wait no longer than 5 s."""
KEPT_S = 1.0
"""How long an answer is good for others: many load balancers and people ask at once, above all while it is slow."""
REQUIRED = ("database", "object_store")

Ping = Callable[[], Awaitable[None]]
Faults = Callable[[], tuple[str, ...]]
Answers = tuple[list[Worker], dict[str, Check]]


class HealthCheck:
    """Pings each dependency, once for all who ask within a second."""

    def __init__(
        self,
        pings: Mapping[str, Ping],
        offers: Offers,
        *,
        faults: Mapping[str, Faults] | None = None,
        deadline_s: float = CHECK_DEADLINE_S,
        kept_s: float = KEPT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pings` are keyed by dependency: database, broker, object_store; so are the `faults` of their parts."""
        self._pings = pings
        self._faults = faults or {}
        self._offers = offers
        self._deadline_s = deadline_s
        self._kept_s, self._monotonic = kept_s, monotonic
        self._asking: asyncio.Task[Answers] | None = None
        self._asked_at_s = 0.0
        self.is_prepared = False

    async def check(self) -> Health:
        """Run all checks; `unavailable` without database or object store, or before start-up has finished."""
        workers, by_name = await self._shared_answers()
        away = {name for name, check in by_name.items() if check.status != "ok"}
        is_unavailable = bool(away & set(REQUIRED)) or not self.is_prepared
        is_well = not away and not any(check.faults for check in by_name.values())
        return Health(
            status="unavailable" if is_unavailable else "ok" if is_well else "degraded",
            checks=by_name,
            sandbox=", ".join(sorted({worker.sandbox for worker in workers})) or None,
            engines_not_answering=engines_not_answering(workers),
        )

    async def _shared_answers(self) -> Answers:
        """The answers that are being asked for, or that are at most a second old.

        They are asked for in a task of its own, because the caller that began may go away.
        """
        now_s = self._monotonic()
        if self._asking is None or (self._asking.done() and now_s - self._asked_at_s >= self._kept_s):
            self._asking, self._asked_at_s = asyncio.create_task(self._ask()), now_s
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Answers:
        checking = asyncio.gather(*(self._check(name) for name in self._pings))
        workers, checks = await asyncio.gather(self._workers(), checking)
        return workers, dict(zip(self._pings, checks, strict=True))

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

    async def _workers(self) -> list[Worker]:
        """Return the running workers; none if they are not known in time."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._offers.alive()
        except (DependencyUnavailable, TimeoutError):
            return []
