"""One slot of a worker: take a message, claim and acknowledge, run the job, complete the record, take the next."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import structlog

from conversion_worker.job.results import JobResult
from conversion_worker.job.steps import JobRunner
from conversion_worker.slot.claim import FIRST_PAUSE_S, LONGEST_PAUSE_S, claim_message
from conversion_worker.slot.completion import Completion, change_after_error, log_failure
from conversion_worker.slot.context import WorkerContext
from conversion_worker.slot.lease import Lease
from converto_core.conversion.change import Change
from converto_core.conversion.processing import complete
from converto_core.conversion.record import Conversion, Lane
from converto_core.errors import BusUnavailable
from converto_core.events import conversion_event
from converto_core.ports.bus import Consumer, Delivery
from converto_engines.converter import Report
from converto_infra.clock import jittered_s
from converto_infra.concurrency import unless
from converto_infra.retry import Backoff

FULL_DISK_PAUSE_S = 5.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Slot:
    """Runs one conversion at a time."""

    def __init__(self, context: WorkerContext, runner: JobRunner, *, takes_quarantine: bool = False) -> None:
        """Only one slot of a worker takes the quarantine lane: quarantined conversions never run side by side."""
        self._context = context
        self._runner = runner
        self._takes_quarantine = takes_quarantine
        self._stopping = context.stop.stopping
        self._completion = Completion(
            conversions=context.conversions,
            objects=context.objects,
            bus=context.bus,
            clock=context.clock,
            hand_back=context.stop.hand_back,
        )

    async def run(self) -> None:
        """Process messages until the worker stops; an error in one of them never ends the slot."""
        backoff = Backoff(
            first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S, clock=self._context.clock, stop=self._stopping
        )
        while not self._stopping.is_set():
            try:
                await self._consume(backoff)
                continue
            except BusUnavailable:
                log.warning("slot.broker_away", failures=backoff.failures + 1)
            except Exception:  # message boundary: a slot outlives any one message
                log.exception("slot.failed", failures=backoff.failures + 1)
            await backoff.pause()

    async def _consume(self, backoff: Backoff) -> None:
        """Process messages of the families that this worker takes, until these change or the worker stops."""
        context, taken = self._context, self._context.families.now
        if not taken.families:  # no program has answered yet
            await unless(self._stopping, taken.outdated.wait())
            return
        async with context.bus.open_slot(taken.families, quarantine=self._takes_quarantine) as consumer:
            backoff.reset()
            while not self._stopping.is_set() and not taken.outdated.is_set():
                if await self._has_room() and (message := await self._next_message(consumer, taken.outdated)):
                    await self._process(message)

    async def _has_room(self) -> bool:
        workspace = self._context.workspace
        if await asyncio.to_thread(workspace.has_room):
            return True
        log.error("slot.disk_full", folder=str(workspace.folder))
        await self._context.clock.wait(self._stopping, jittered_s(FULL_DISK_PAUSE_S))
        return False

    async def _next_message(self, consumer: Consumer, outdated: asyncio.Event) -> Delivery | None:
        await unless(self._stopping, self._context.gate.wait_until_open())
        return await unless(self._stopping, unless(outdated, consumer.next()))

    async def _process(self, message: Delivery) -> None:
        """Take one message all the way; it is settled exactly once on every path."""
        context, conversion_id = self._context, message.event.id
        if self._stopping.is_set() or context.gate.is_closed:
            await message.release()
            return
        if not context.running_jobs.reserve(conversion_id):
            await message.accept()  # a repeated message for what another slot of this worker holds
            return
        try:
            claimed = await claim_message(message, context)
            ended = None if claimed is None else await self._run_claimed(claimed)
        finally:
            context.running_jobs.release(conversion_id)
        if ended is not None:  # only after the release: until then, a new message for it would be dropped
            await context.waiters.notify(ended)

    async def _run_claimed(self, claimed: Conversion) -> Conversion | None:
        """Run the job and complete its record; return the record, None when its state is unknown or no longer ours.

        The private folder is wiped last, after the record has been written.
        """
        context = self._context
        context.running_jobs.start(claimed)
        log.info("conversion.started", conversion_id=claimed.id, attempt=claimed.attempt, token=claimed.token)
        await context.bus.publish_event(conversion_event(claimed))
        async with AsyncExitStack() as cleanup:
            try:
                change = await self._run_job(claimed, cleanup)
                return await self._completion.apply(claimed, change) if change else None
            except asyncio.CancelledError:
                await self._completion.hand_back(claimed)
                raise

    async def _run_job(self, claimed: Conversion, cleanup: AsyncExitStack) -> Change | None:
        """Run the job under its lease; return the update that its result or its error calls for."""
        context = self._context
        lease = Lease(
            claimed,
            store=context.conversions,
            bus=context.bus,
            settings=context.settings,
            clock=context.clock,
            hand_back=context.stop.hand_back,
        )
        try:
            folder = await cleanup.enter_async_context(context.workspace.job_folder(f"{claimed.id}-{claimed.token}"))
            result = await lease.hold(self._run_steps(claimed, folder, lease.report))
        except Exception as error:  # noqa: BLE001 - message boundary: whatever happened, the record has to say so
            log_failure(claimed, error)
            return change_after_error(error, claimed, settings=context.settings, now_ms=context.clock.now_ms())
        return complete(claimed, now_ms=context.clock.now_ms(), **msgspec.structs.asdict(result))

    async def _run_steps(self, claimed: Conversion, folder: Path, report: Report) -> JobResult:
        """Wait for the gate, then run; the lease beats meanwhile."""
        gate, is_quarantined = self._context.gate, claimed.lane is Lane.QUARANTINE
        if is_quarantined:
            report(0.0, "waiting to run alone")
        async with gate.exclusive() if is_quarantined else gate.shared():
            return await self._runner.run(claimed, folder, report)
