"""All housekeeping sweeps by name; a sweep whose dependency is away is logged and retried at its next turn."""

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
from file_service.delivery.future_dates import FutureDates
from file_service.delivery.lost_messages import LostMessages
from file_service.delivery.outbox import Outbox
from file_service.housekeeping.reaper import Reaper
from file_service.housekeeping.retention.removal import Removal
from file_service.housekeeping.retention.rules import retention_rules
from file_service.housekeeping.trusted_time import TrustedTime
from file_service.housekeeping.waiting_uploads import WaitingUploads
from file_service.uploads.unattended import ConfirmUpload
from file_service.wiring import Stores, build_sender, look_schedule

LOST_MESSAGES_INTERVAL_S = 5.0
FUTURE_DATES_INTERVAL_S = 10.0
BEAT_AGAIN_S = 1.0
"""How soon a worker repeats a beat that failed."""
DEAD_LETTER_ROUNDS = 5
"""Dead letters are not urgent: the outbox sends the message of their conversion again anyway."""
QUICK_S, SLOW_S = 60.0, 600.0
"""The longest intervals of retention rules, whose retention times are mostly days."""
QUICK = {"uploads", "results", "workers"}

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def _unknown() -> float | None:
    return None


class Sweep(msgspec.Struct, frozen=True):
    """A named sweep; `run` does it once and returns how much was done.

    `removals` yields what would be removed, for a dry run; it is None for a sweep that removes nothing. `next_in_s`
    returns in how many seconds something will be due, None if the sweep cannot know.
    """

    name: str
    interval_s: float
    run: Callable[[], Awaitable[int]]
    removals: Callable[[], AsyncGenerator[Removal, None]] | None = None
    next_in_s: Callable[[], float | None] = _unknown


class Sweeps:
    """Builds all sweeps; each keeps its own state between two runs."""

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
        """`confirm_upload(file_id)` is called for bytes that arrived without a confirmation.

        `walks_whole_bucket` is for a process that runs one round; otherwise each sweep continues where the last ended.
        """
        sender, trusted = build_sender(settings, stores, bus, now_ms=now_ms), TrustedTime(objects, now_ms)
        self.reaper = Reaper(
            stores.conversions,
            sender,
            lease_s=settings.lease_s,
            max_lost=settings.max_lost,
            sweep_interval_s=settings.sweep_interval_s,
            blind_after_s=_blind_after_s(settings),
            monotonic=monotonic,
            now_ms=now_ms,
        )
        self.outbox = Outbox(stores.conversions, bus, sender, monotonic=monotonic, now_ms=now_ms)
        self.future_dates = FutureDates(
            stores.conversions,
            self.outbox,
            sender,
            retry_max_s=settings.retry_max_s,
            latest_ms=trusted.latest_ms,
        )
        self.lost_messages = LostMessages(stores.conversions, bus, now_ms=now_ms)
        self.waiting_uploads = WaitingUploads(
            stores.conversions,
            stores.files,
            looks=look_schedule(settings),
            confirm_upload=confirm_upload,
            time=trusted,
            now_ms=now_ms,
        )
        self.retention = retention_rules(
            settings,
            stores,
            objects,
            sender,
            confirm_upload=confirm_upload,
            now_ms=now_ms,
            walks_whole_bucket=walks_whole_bucket,
        )
        self.uploads, self.results, self.workers = (self.retention[name] for name in ("uploads", "results", "workers"))
        self.dead_letters = DeadLetterCollector(
            stores.dead_letters, stores.conversions, bus, retention_s=settings.parked_retention_s, now_ms=now_ms
        )
        self._failing: set[str] = set()
        self._all = self._build_all(settings)

    @property
    def all(self) -> Sequence[Sweep]:
        """Every sweep, in the order of a round: the outbox sends what the reaper has returned and could not send."""
        return self._all

    @property
    def failing(self) -> frozenset[str]:
        """Names of the sweeps whose last run found a dependency away."""
        return frozenset(self._failing)

    async def run_once(self, only: Sequence[Sweep] = ()) -> dict[str, int]:
        """Run one round of all or of these sweeps; returns how much each has done."""
        return {sweep.name: await self.run(sweep) for sweep in only or self._all}

    async def run(self, sweep: Sweep) -> int:
        """Run one sweep; an outage is logged once when it begins and once when it ends."""
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

    def _build_all(self, settings: Settings) -> tuple[Sweep, ...]:
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
            Sweep("reaper", often_s, self.reaper.sweep, next_in_s=self.reaper.next_in_s),
            Sweep("lost_wakeups", max(LOST_MESSAGES_INTERVAL_S, often_s), self.lost_messages.sweep),
            Sweep("outbox", often_s, self.outbox.sweep),
            Sweep("future_dates", max(FUTURE_DATES_INTERVAL_S, often_s), self.future_dates.sweep),
            Sweep("waiting_uploads", _looks_interval_s(settings), self.waiting_uploads.sweep),
            Sweep("parking", DEAD_LETTER_ROUNDS * often_s, self.dead_letters.sweep),
            *(
                Sweep(name, _interval_s(name, periods_s[name], often_s), rule.sweep, rule.removals)
                for name, rule in self.retention.items()
            ),
        )


def _blind_after_s(settings: Settings) -> float:
    """Return the longest time between two reads of the reaper that still counts for the lease.

    One read that misses its deadline, and a breaker that opens meanwhile, are no outage. With a short lease they are
    taken for one: after a time that counts, a live worker whose beat was due needs time to send it.
    """
    often_s, reset_s = settings.sweep_interval_s, settings.breaker_reset_s
    one_slow_read_s = settings.mongodb_timeout_s + reset_s + 2 * often_s
    spare_s = settings.lease_s - settings.beat_interval_s - 2 * often_s - reset_s - BEAT_AGAIN_S
    return max(min(one_slow_read_s, spare_s), 3 * often_s)


def _looks_interval_s(settings: Settings) -> float:
    """Return a tenth of the age at the first look, so that a look is at most that much late."""
    return max(min(settings.upload_looks_s, default=QUICK_S) / 10, settings.sweep_interval_s)


def _interval_s(name: str, period_s: float, often_s: float) -> float:
    """Return a tenth of the retention time, within the bounds of quick and slow sweeps."""
    longest_s = QUICK_S if name in QUICK else SLOW_S
    return max(min(longest_s, max(period_s, 10.0) / 10), often_s)
