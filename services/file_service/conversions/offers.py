"""What can be converted: the offers of all workers, remembered for two seconds, and plans over them.

Shown is what a living worker offers. Accepted is also what one offered lately: with workers that are started on demand,
or machines that are switched off at night, a conversion may wait.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from converto_core.catalogue import Offer, Worker
from converto_core.conversion.record import Step
from converto_core.errors import DependencyUnavailable, UnsupportedConversion
from converto_core.formats import Family, format_named
from converto_core.ids import now_ms
from converto_core.ports.stores import WorkerStore
from converto_engines import planner

CACHE_S = 2.0
"""A new worker's routes appear after this at the latest; a burst of requests costs one database call."""
ALIVE_MS = 30_000
"""A worker writes its record every few seconds; one that is silent for longer is not shown as running."""


class NoWorker(DependencyUnavailable):
    """Raised when no worker has registered yet, so that nobody can tell what can be converted."""

    code = "no_worker"
    title = "No conversion worker has started yet; please try again shortly"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a conversion will go."""

    source_format: str
    steps: tuple[Step, ...]
    family: Family
    joins: bool = False


class Offers:
    """Plans and routes over what workers have installed."""

    def __init__(self, workers: WorkerStore, *, ttl_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`ttl_s`: how long a route stays on offer after its last worker was seen."""
        self._workers = workers
        self._ttl_ms = ttl_s * 1000
        self._clock = clock
        self._read_at = float("-inf")
        self._offers: tuple[Offer, ...] = ()
        self._live: tuple[Offer, ...] = ()
        self._routes: dict[bool, tuple[tuple[Offer, ...], tuple[planner.Route, ...]]] = {}

    async def known(self) -> tuple[Offer, ...]:
        """One offer per converter, the newest worker's; empty when no worker was seen lately."""
        await self._look()
        return self._offers

    async def live(self) -> tuple[Offer, ...]:
        """The same of the workers that run now."""
        await self._look()
        return self._live

    async def plan(self, source_format: str, target_format: str, options: dict[str, Any]) -> Plan:
        """The cheapest way; raises `NoWorker`, `UnsupportedConversion`, or `BadOptions` naming each wrong option."""
        offers = await self.known()
        if not offers:
            raise NoWorker()
        steps = planner.plan(source_format, target_format, offers)
        try:
            planner.check_options(options, steps, offers)
        except planner.InvalidOptions as error:
            raise planner.InvalidOptions([(f"/options{pointer}", text) for pointer, text in error.errors]) from error
        return Plan(
            source_format=source_format,
            steps=steps,
            family=planner.family_of(steps, offers),
            joins=planner.joins(steps, offers),
        )

    async def routes(self, *, is_live: bool = True) -> tuple[planner.Route, ...]:
        """Every way there is at this moment; not only the living workers' when `is_live` is false."""
        offers = await (self.live() if is_live else self.known())
        planned_over, routes = self._routes.get(is_live, ((), ()))
        if offers != planned_over:
            routes = tuple(planner.routes(offers))
            self._routes[is_live] = (offers, routes)
        return routes

    async def alive(self) -> list[Worker]:
        """Workers that run now."""
        return sorted(await self._workers.seen_since(now_ms() - ALIVE_MS), key=lambda worker: worker.id)

    async def _look(self) -> None:
        if self._clock() - self._read_at <= CACHE_S:
            return
        now = now_ms()
        workers = await self._workers.seen_since(now - self._ttl_ms)
        self._offers = _newest(workers)
        self._live = _newest([worker for worker in workers if worker.seen_at >= now - ALIVE_MS])
        # An empty board is not remembered: the first worker's routes are there as soon as it is.
        self._read_at = self._clock() if self._offers else float("-inf")


def target_named(untrusted_target: str) -> str:
    """The format name a user means; raises `UnsupportedConversion`."""
    target = format_named(untrusted_target)
    if target is None:
        shown = untrusted_target[:32]
        raise UnsupportedConversion(f'"{shown}" is not a format converto knows; GET /api/v1/formats lists them')
    return target.name


def _newest(workers: list[Worker]) -> tuple[Offer, ...]:
    ordered = sorted(workers, key=lambda worker: worker.seen_at)
    by_name = {offer.converter: offer for worker in ordered for offer in worker.offers}
    return tuple(by_name[name] for name in sorted(by_name))
