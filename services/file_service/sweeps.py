"""What housekeeping consists of: the named sweeps, and how each survives a server that is away. It knows no HTTP."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from converto_core import ids
from converto_core.errors import DependencyUnavailable
from converto_core.ports import CacheStore, ConversionStore, EventBus, FileStore, ObjectStore, WorkerStore
from converto_infra.settings import Settings
from file_service.old_entries import OldEntries
from file_service.outbox import Outbox
from file_service.reaper import Reaper
from file_service.retention import AbandonedUploads, ConfirmUpload, GoneWorkers, OldResults

RETENTION_INTERVAL_S = 60.0  # what lies for days need not be looked at every second

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Stores(Protocol):
    """The stores that housekeeping needs of a database."""

    @property
    def conversions(self) -> ConversionStore:
        """Conversions."""

    @property
    def files(self) -> FileStore:
        """Files."""

    @property
    def cache(self) -> CacheStore:
        """Who made which result."""

    @property
    def workers(self) -> WorkerStore:
        """Workers."""


class Sweep(msgspec.Struct, frozen=True):
    """One chore: its name, how often it runs, and the call that does it once and tells how much it did."""

    name: str
    interval_s: float
    run: Callable[[], Awaitable[int]]


class Sweeps:
    """All sweeps over one set of servers. Each keeps what it has to remember between two runs."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        objects: ObjectStore,
        bus: EventBus,
        *,
        confirm_upload: ConfirmUpload | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = ids.now_ms,
    ) -> None:
        """`confirm_upload(file_id)` is called for bytes that arrived although nobody confirmed them."""
        self.reaper = Reaper(
            stores.conversions,
            bus,
            lease_s=settings.lease_s,
            max_lost=settings.max_lost,
            sweep_interval_s=settings.sweep_interval_s,
            monotonic=monotonic,
            now_ms=now_ms,
        )
        self.outbox = Outbox(
            stores.conversions,
            bus,
            republish_after_s=settings.republish_after_s,
            republish_max_s=settings.republish_max_s,
            monotonic=monotonic,
            now_ms=now_ms,
        )
        self.uploads = AbandonedUploads(
            stores.conversions,
            stores.files,
            objects,
            bus,
            deadline_s=settings.upload_deadline_s,
            confirm_upload=confirm_upload,
            now_ms=now_ms,
        )
        self.results = OldResults(
            stores.conversions, objects, bus, retention_s=settings.result_retention_s, now_ms=now_ms
        )
        self.cache = OldEntries(stores.cache, retention_s=settings.result_retention_s, now_ms=now_ms)
        self.workers = GoneWorkers(stores.workers, offers_ttl_s=settings.offers_ttl_s, now_ms=now_ms)
        self._failing: set[str] = set()
        self._all = self._listed(settings)

    @property
    def all(self) -> Sequence[Sweep]:
        """Every sweep, in the order in which a single round runs them: what is reaped leaves in the same round."""
        return self._all

    async def once(self) -> dict[str, int]:
        """One round of everything; how much each sweep did."""
        return {sweep.name: await self.survive(sweep) for sweep in self._all}

    async def survive(self, sweep: Sweep) -> int:
        """Run one sweep; a server that is away is said once when it goes and once when it is back."""
        try:
            done = await sweep.run()
        except DependencyUnavailable as error:
            if sweep.name not in self._failing:
                log.warning("sweep.waits", sweep=sweep.name, code=error.stable_code, detail=error.detail)
            self._failing.add(sweep.name)
            return 0
        if sweep.name in self._failing:
            log.info("sweep.goes_on", sweep=sweep.name)
        self._failing.discard(sweep.name)
        return done

    def _listed(self, settings: Settings) -> tuple[Sweep, ...]:
        often_s = settings.sweep_interval_s
        return (
            Sweep("reaper", often_s, self.reaper.sweep),
            Sweep("outbox", often_s, self.outbox.sweep),
            Sweep("uploads", _seldom_s(settings.upload_deadline_s, often_s), self.uploads.sweep),
            Sweep("results", _seldom_s(settings.result_retention_s, often_s), self.results.sweep),
            Sweep("cache", _seldom_s(settings.result_retention_s, often_s), self.cache.sweep),
            Sweep("workers", _seldom_s(settings.offers_ttl_s, often_s), self.workers.sweep),
        )


def _seldom_s(period_s: float, often_s: float) -> float:
    """Often enough for the period, and never more often than the quick sweeps."""
    return max(min(RETENTION_INTERVAL_S, period_s / 10), often_s)
