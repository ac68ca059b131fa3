"""The only place that settles messages: one slot takes one wake-up, claims, acknowledges, works, and takes the next.

It knows no program. A message is acknowledged as soon as the claim is in the database, because from then on the lease
and the reaper answer for the conversion, however long it runs and whatever happens to the broker.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import structlog

from conversion_worker.clock import Clock, backoff_s, jittered_s
from conversion_worker.concurrency import unless
from conversion_worker.job.result import Finished
from conversion_worker.job.steps import JobRunner
from conversion_worker.job.workspace import Workspace
from conversion_worker.single_flight.single_flight import LeaderRunning
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.completion import Completion, change_for, completion, is_disk_full
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.slot.lease import Lease, LeaseEnded
from conversion_worker.worker_registry import RunningJobs
from converto_core.conversion.change import Change
from converto_core.conversion.processing import beat, claim, hand_back
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.errors import BusUnavailable, ConvertoError, ObjectStoreUnavailable, StoreUnavailable
from converto_core.events import ConversionCreated, conversion_event
from converto_core.formats import Family
from converto_core.ports.bus import Consumer, Delivery, EventBus
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import ConversionStore
from converto_engines.converter import Report
from converto_infra.metrics import ENDED
from converto_infra.settings import Settings

FULL_DISK_PAUSE_S = 5.0
BACKOFF_MAX_S = 2.0  # what heals is noticed within seconds
HAND_BACK_TIMEOUT_S = 3.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Stop:
    """Two requests to a worker: take nothing new, and give back what is running."""

    def __init__(self) -> None:
        """Neither is made."""
        self.stopping = asyncio.Event()
        self.give_back = asyncio.Event()


class WorkerContext(msgspec.Struct, frozen=True):
    """What all slots of a worker share."""

    worker_id: str
    families: Sequence[Family]
    conversions: ConversionStore
    objects: ObjectStore
    bus: EventBus
    followers: Waiters
    workspace: Workspace
    board: RunningJobs
    company: ExclusiveGate
    stop: Stop
    settings: Settings
    clock: Clock


class Slot:
    """Room for one conversion at a time."""

    def __init__(self, surroundings: WorkerContext, runner: JobRunner, *, takes_quarantine: bool = False) -> None:
        """One slot of a worker also takes the quarantine lane, so that suspects never run side by side."""
        self._around = surroundings
        self._runner = runner
        self._takes_quarantine = takes_quarantine
        self._store = surroundings.conversions
        self._clock = surroundings.clock
        self._stop = surroundings.stop
        self._settlement = Completion(
            store=surroundings.conversions,
            bus=surroundings.bus,
            clock=surroundings.clock,
            leaving=surroundings.stop.give_back,
        )

    async def run(self) -> None:
        """Take wake-ups until the worker stops; whatever goes wrong with one of them, the slot goes on."""
        failures = 0
        while not self._stop.stopping.is_set():
            try:
                async with self._around.bus.open_slot(
                    self._around.families, quarantine=self._takes_quarantine
                ) as source:
                    failures = 0
                    await self._take_turns(source)
            except BusUnavailable:
                failures += 1
                log.warning("slot.broker_away", failures=failures)
            except Exception:  # message border: a slot outlives any one message
                failures += 1
                log.exception("slot.failed", failures=failures)
            await self._pause(failures)

    async def _take_turns(self, source: Consumer) -> None:
        while not self._stop.stopping.is_set():
            if not await asyncio.to_thread(self._around.workspace.has_room):
                log.error("slot.disk_full", folder=str(self._around.workspace.folder))
                await self._clock.wait(self._stop.stopping, jittered_s(FULL_DISK_PAUSE_S))
                continue
            await unless(self._stop.stopping, self._around.company.wait_until_open())
            wakeup = await unless(self._stop.stopping, source.next())
            if wakeup is not None:
                await self._answer(wakeup)

    async def _answer(self, wakeup: Delivery) -> None:
        """Claim what the wake-up names and do it. Every path settles the message exactly once."""
        conversion_id = wakeup.event.id
        if self._stop.stopping.is_set() or self._around.company.is_closed:
            await wakeup.release()
            return
        if not self._around.board.take(conversion_id):
            await wakeup.accept()  # a repeated wake-up for what a neighbouring slot holds
            return
        try:
            claimed = await self._claim_and_settle(wakeup)
            settled = await self._work(claimed) if claimed is not None else None
        finally:
            self._around.board.drop(conversion_id)
        if settled is not None:  # only now: as long as it is on the board, a new wake-up for it would be passed over
            await self._around.followers.hear_of(settled)

    async def _claim_and_settle(self, wakeup: Delivery) -> Conversion | None:
        event = wakeup.event
        try:
            claimed = await self._store.apply(self._claim(event))
        except StoreUnavailable:
            # Given back once and then waited for: giving back in a loop would use up the queue's delivery limit.
            await wakeup.release()
            return await self._claim_when_back(event)
        await wakeup.accept()  # claimed, or not claimable: in both cases the database knows what is due
        if claimed is None:
            log.info("wakeup.stale", conversion_id=event.id, token=event.token)
        return claimed

    def _claim(self, event: ConversionCreated) -> Change:
        return claim(event.id, token=event.token, worker=self._around.worker_id, now_ms=self._clock.now_ms())

    async def _claim_when_back(self, event: ConversionCreated) -> Conversion | None:
        """Wait until the database answers again and claim then; the first claim may have got through unanswered.

        A worker that stops claims nothing new, but looks once more: what it holds must not be counted as lost.
        """
        failures = 1
        while True:
            log.warning("slot.database_away", failures=failures)
            await self._pause(failures)
            is_last = self._stop.stopping.is_set()
            try:
                claimed = None if is_last else await self._store.apply(self._claim(event))
                return claimed or await self._claimed_before(event)
            except StoreUnavailable:
                failures += 1
            if is_last:
                return None

    async def _claimed_before(self, event: ConversionCreated) -> Conversion | None:
        record = await self._store.get(event.id)
        if record is None or record.status is not Status.PROCESSING:
            return None
        if record.worker != self._around.worker_id or record.token != event.token + 1:
            return None
        # Reapers count since the claim, which may be long ago: the work may begin only under a beat of now.
        return await self._store.apply(beat(record.id, token=record.token, now_ms=self._clock.now_ms()))

    async def _work(self, claimed: Conversion) -> Conversion | None:
        """Run the job under its lease, then settle the record; the private folder is wiped when all is told.

        The record as it was settled, None when that is not known or not ours to say.
        """
        self._around.board.start(claimed)
        log.info("conversion.started", conversion_id=claimed.id, attempt=claimed.attempt, token=claimed.token)
        await self._around.bus.publish_event(conversion_event(claimed))
        async with AsyncExitStack() as left_afterwards:
            try:
                change = await self._run(claimed, left_afterwards)
                return await self._settle(claimed, change)
            except asyncio.CancelledError:
                await self._hand_back_in_haste(claimed)
                raise

    async def _run(self, claimed: Conversion, left_afterwards: AsyncExitStack) -> Change | None:
        around = self._around
        lease = Lease(
            claimed,
            store=self._store,
            bus=around.bus,
            settings=around.settings,
            clock=self._clock,
            give_back=self._stop.give_back,
        )
        try:
            folder = await left_afterwards.enter_async_context(around.workspace.job_folder(_folder_name(claimed)))
            finished = await lease.hold(self._do(claimed, folder, lease.report))
        except Exception as error:  # noqa: BLE001 - message border: whatever happened, the record has to say so
            _log_failure(claimed, error)
            return change_for(error, claimed, settings=around.settings, now_ms=self._clock.now_ms())
        return completion(claimed, finished, now_ms=self._clock.now_ms())

    async def _do(self, claimed: Conversion, folder: Path, report: Report) -> Finished:
        """The job itself, beside others or alone; the lease beats while it waits for its place."""
        company = self._around.company
        is_suspect = claimed.lane is Lane.QUARANTINE
        if is_suspect:
            report(0.0, "waiting to run alone")
        async with company.alone() if is_suspect else company.beside_others():
            return await self._runner.run(claimed, folder, report)

    async def _settle(self, claimed: Conversion, change: Change | None) -> Conversion | None:
        if change is None:
            return None
        try:
            record = await self._settlement.settle(claimed, change)
        except StoreUnavailable:
            log.warning("conversion.left_to_the_reaper", conversion_id=claimed.id)
            return None
        if record is None:
            await self._drop_results(change)
            return None
        ENDED.labels(record.status.value).inc()
        log.info(f"conversion.{record.status}", conversion_id=claimed.id, attempt=claimed.attempt)
        return record

    async def _drop_results(self, change: Change) -> None:
        """Delete results that nobody will ever refer to, as best we can: they lie under a token that is over."""
        keys = [output.key for output in change.assign.get("outputs", ())]
        try:
            await self._around.objects.delete(keys)
        except ObjectStoreUnavailable:
            log.warning("results.orphaned", conversion_id=change.id, count=len(keys))

    async def _hand_back_in_haste(self, claimed: Conversion) -> None:
        """The process ends around us: tell the record if that is quick, otherwise the reaper finds out."""
        try:
            async with asyncio.timeout(HAND_BACK_TIMEOUT_S):
                await self._settlement.settle(claimed, hand_back(claimed, now_ms=self._clock.now_ms()))
        except (TimeoutError, StoreUnavailable):
            log.warning("conversion.left_to_the_reaper", conversion_id=claimed.id)

    async def _pause(self, failures: int) -> None:
        if failures:
            await self._clock.wait(self._stop.stopping, backoff_s(failures, base_s=0.5, max_s=BACKOFF_MAX_S))


def _folder_name(claimed: Conversion) -> str:
    return f"{claimed.id}-{claimed.token}"


def _log_failure(claimed: Conversion, error: Exception) -> None:
    if isinstance(error, ConvertoError):
        log.warning("job.failed", conversion_id=claimed.id, code=error.stable_code, reason=error.detail or str(error))
    elif isinstance(error, LeaderRunning):
        log.info("job.follows", conversion_id=claimed.id, key=error.key)
    elif is_disk_full(error):
        log.warning("job.failed", conversion_id=claimed.id, code="insufficient_storage", reason=str(error))
    elif isinstance(error, LeaseEnded):
        log.warning("job.stopped", conversion_id=claimed.id, reason=error.ending.value)
    else:
        log.exception("job.broken", conversion_id=claimed.id)
