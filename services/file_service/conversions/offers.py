"""What can be converted: the offers that workers have registered, cached for two seconds, and plans over them.

Only offers of running workers are listed, but offers of workers seen lately are accepted too. Workers may be started on
demand or switched off at night, and the conversion waits for them. A program that is installed but does not answer yet
counts the same: its conversions are accepted and wait.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from converto_core.catalogue import Offer, Worker
from converto_core.conversion.record import Step
from converto_core.errors import DependencyUnavailable, UnsupportedConversion
from converto_core.formats import Family, format_named
from converto_core.ids import now_ms
from converto_core.ports.stores import WorkerStore
from converto_engines import planner
from file_service.conversions.live_workers import ALIVE_MS, LiveWorkers

CACHE_S = 2.0
"""The longest delay until a new worker's routes appear; a burst of requests costs one database call."""


class NoWorker(DependencyUnavailable):
    """Raised when no worker has registered, so the possible conversions are unknown."""

    code = "no_worker"
    title = "No conversion worker has started yet; try again in a moment"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a conversion and the queue family of its first step."""

    source_format: str
    steps: tuple[Step, ...]
    family: Family
    joins: bool = False


class Offers:
    """Plans and routes over the converters that workers offer."""

    def __init__(self, workers: WorkerStore, *, ttl_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`ttl_s` is how long a route is accepted after its last worker was seen."""
        self._workers = workers
        self._ttl_ms = ttl_s * 1000
        self._clock = clock
        self._live_workers = LiveWorkers(clock)
        self._read_at = float("-inf")
        self._offers: tuple[Offer, ...] = ()
        self._live: tuple[Offer, ...] = ()
        self._routes: dict[bool, tuple[tuple[Offer, ...], tuple[planner.Route, ...]]] = {}

    async def known(self) -> tuple[Offer, ...]:
        """Return one offer per converter, from the newest worker; empty if no worker was seen lately.

        An offer whose program has answered on no worker has no version.
        """
        await self._refresh()
        return self._offers

    async def require_any(self) -> tuple[Offer, ...]:
        """Return the same; raises `NoWorker` instead of an empty result."""
        offers = await self.known()
        if not offers:
            raise NoWorker()
        return offers

    async def live(self) -> tuple[Offer, ...]:
        """Return one offer per converter of the workers that run now; its program has answered."""
        await self._refresh()
        return self._live

    async def plan(
        self, source_format: str, target_format: str, options: dict[str, Any], *, has_password: bool = False
    ) -> Plan:
        """Return the cheapest plan; `has_password` says that the source is to be opened with a password.

        Raises `NoWorker`, `UnsupportedConversion`, or `BadOptions` with one error per invalid option.
        """
        offers = await self.require_any()
        steps = planner.plan(source_format, target_format, offers)
        try:
            planner.check_options(options, steps, offers, has_password=has_password)
        except planner.InvalidOptions as error:
            raise planner.InvalidOptions([(f"/options{pointer}", text) for pointer, text in error.errors]) from error
        return Plan(
            source_format=source_format,
            steps=steps,
            family=planner.family_of(steps, offers),
            joins=planner.joins(steps, offers),
        )

    async def routes(self, *, is_live: bool = True) -> tuple[planner.Route, ...]:
        """Return all routes of running workers, or of all workers seen lately when `is_live` is false."""
        offers = await (self.live() if is_live else self.known())
        planned_over, routes = self._routes.get(is_live, ((), ()))
        if offers != planned_over:
            routes = tuple(planner.routes(offers))
            self._routes[is_live] = (offers, routes)
        return routes

    async def alive(self) -> list[Worker]:
        """Return the workers that run now, by id."""
        now = now_ms()
        found = self._live_workers.of(await self._workers.seen_since(now - ALIVE_MS), now_ms=now)
        return sorted(found, key=lambda worker: worker.id)

    async def _refresh(self) -> None:
        if self._clock() - self._read_at <= CACHE_S:
            return
        now = now_ms()
        workers = await self._workers.seen_since(now - self._ttl_ms)
        self._offers = _with_unanswered(_newest(workers), workers, since_ms=now - self._ttl_ms)
        self._live = _newest(self._live_workers.of(workers, now_ms=now))
        # An empty result is not cached, so the first worker's routes are available at once.
        self._read_at = self._clock() if self._offers else float("-inf")


def target_named(untrusted_target: str) -> str:
    """Return the canonical name of a format; raises `UnsupportedConversion` for an unknown one."""
    target = format_named(untrusted_target)
    if target is None:
        shown = untrusted_target[:32]
        raise UnsupportedConversion(f'"{shown}" is not a known format; GET /api/v1/formats lists all formats')
    return target.name


def engines_not_answering(alive: Sequence[Worker]) -> tuple[str, ...]:
    """Return the engines that are installed on running workers and answer on none of them."""
    answering = {offer.converter for worker in alive for offer in worker.offers}
    entries = [entry for worker in alive for entry in worker.not_answering]
    return tuple(sorted({entry.offer.engine for entry in entries if entry.offer.converter not in answering}))


def _newest(workers: list[Worker]) -> tuple[Offer, ...]:
    ordered = sorted(workers, key=lambda worker: worker.seen_at)
    by_name = {offer.converter: offer for worker in ordered for offer in worker.offers}
    return tuple(by_name[name] for name in sorted(by_name))


def _with_unanswered(answered: Sequence[Offer], workers: list[Worker], *, since_ms: int) -> tuple[Offer, ...]:
    """Add what no worker has an answer for yet; a program that has been silent since before `since_ms` is left out."""
    ordered = sorted(workers, key=lambda worker: worker.seen_at)
    unanswered = [entry for worker in ordered for entry in worker.not_answering if entry.since >= since_ms]
    by_name = {entry.offer.converter: entry.offer for entry in unanswered} | {
        offer.converter: offer for offer in answered
    }
    return tuple(by_name[name] for name in sorted(by_name))
