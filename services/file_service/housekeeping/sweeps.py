"""What housekeeping consists of: the named sweeps, and how each survives a server that is away. It knows no HTTP."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import msgspec
import structlog

from converto_core import ids
from converto_core.errors import DependencyUnavailable
from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_infra.settings import Settings
from file_service.dead_letters.collector import DeadLetterCollector
from file_service.delivery.lost_messages import LostMessages
from file_service.delivery.outbox import Outbox
from file_service.housekeeping.reaper import Reaper
from file_service.housekeeping.retention.abandoned_uploads import ConfirmUpload
from file_service.housekeeping.retention.removal import Removal
from file_service.housekeeping.retention.rules import retention_rules
from file_service.wiring import Stores

LOST_WAKEUPS_INTERVAL_S = 5.0
PARKING_ROUNDS = 5  # nobody waits for a dead letter: the outbox wakes its conversion anyhow
QUICK_S, SLOW_S = 60.0, 600.0  # what lies for days need not be looked at every second
QUICK = {"uploads", "results", "workers"}

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Sweep(msgspec.Struct, frozen=True):
    """One chore: its name, how often it runs, and the call that does it once and tells how much it did.

    `departures` tells what would go, for a dry run; a chore that takes nothing away has none.
    """

    name: str
    interval_s: float
    run: Callable[[], Awaitable[int]]
    departures: Callable[[], AsyncGenerator[Removal, None]] | None = None


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
        walks_whole_bucket: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = ids.now_ms,
    ) -> None:
        """`confirm_upload(file_id)` is called for bytes that arrived although nobody confirmed them.

        `walks_whole_bucket` is for a process that ends after one round; others go on where their last sweep ended.
        """
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
        self.lost_wakeups = LostMessages(stores.conversions, bus, now_ms=now_ms)
        self.retention = retention_rules(
            settings,
            stores,
            objects,
            bus,
            confirm_upload=confirm_upload,
            now_ms=now_ms,
            walks_whole_bucket=walks_whole_bucket,
        )
        self.uploads, self.results, self.workers = (self.retention[name] for name in ("uploads", "results", "workers"))
        self.parking = DeadLetterCollector(
            stores.dead_letters, stores.conversions, bus, retention_s=settings.parked_retention_s, now_ms=now_ms
        )
        self._failing: set[str] = set()
        self._all = self._listed(settings)

    @property
    def all(self) -> Sequence[Sweep]:
        """Every sweep, in the order in which a single round runs them: what is reaped leaves in the same round."""
        return self._all

    @property
    def failing(self) -> frozenset[str]:
        """Names of the sweeps whose last run met a server that was away."""
        return frozenset(self._failing)

    async def once(self, only: Sequence[Sweep] = ()) -> dict[str, int]:
        """One round of everything, or of these; how much each sweep did."""
        return {sweep.name: await self.survive(sweep) for sweep in only or self._all}

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
        periods_s = {
            "uploads": settings.upload_deadline_s,
            "sources": settings.source_retention_s or SLOW_S * 10,
            "results": settings.result_retention_s,
            "deleted_outputs": settings.deleted_file_outputs_after_s,
            "failures": settings.failure_retention_s,
            "records": settings.record_retention_s,
            "files": settings.record_retention_s,
            "open_uploads": settings.upload_deadline_s,
            "orphans": settings.orphan_age_s,
            "answers": settings.idempotency_ttl_s,
            "history": settings.history_retention_s,
            "cache": settings.result_retention_s,
            "workers": settings.offers_ttl_s,
        }
        return (
            Sweep("reaper", often_s, self.reaper.sweep),
            Sweep("lost_wakeups", max(LOST_WAKEUPS_INTERVAL_S, often_s), self.lost_wakeups.sweep),
            Sweep("outbox", often_s, self.outbox.sweep),
            Sweep("parking", PARKING_ROUNDS * often_s, self.parking.sweep),
            *(
                Sweep(name, _seldom_s(name, periods_s[name], often_s), rule.sweep, rule.departures)
                for name, rule in self.retention.items()
            ),
        )


def _seldom_s(name: str, period_s: float, often_s: float) -> float:
    """Often enough for the period, and never more often than the quick sweeps."""
    longest_s = QUICK_S if name in QUICK else SLOW_S
    return max(min(longest_s, max(period_s, 10.0) / 10), often_s)
