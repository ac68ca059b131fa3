"""A converto worker without conversion programs: real slots, leases and completions on the real servers.

With `nothing`, a job does no work. It omits the source and the results (object store, hashing, the update that stores
the hash) and the programs; it keeps message, claim, acknowledgement, lease, private folder, live events, completion and
worker registry. With `fixed`, a job reads its source from the object store, waits for a child process of 75 ms, and
writes its result there.
"""

import asyncio
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bench.reliability.journal import EFFECT, RUN, note
from bench.reliability.peer import WORK_S, source_key
from conversion_worker.app import stop_on_signals
from conversion_worker.job.results import JobResult, Results
from conversion_worker.job.steps import JobRunner, server_retry
from conversion_worker.job.workspace import Workspace
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.context import Stop, WorkerContext
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.slot.families import TakenFamilies
from conversion_worker.slot.slot import Slot
from conversion_worker.worker_registry import RunningJobs, WorkerRegistry
from converto_core.catalogue import Worker
from converto_core.conversion.record import Conversion, Status
from converto_core.errors import EngineError
from converto_core.events import ConversionEvent
from converto_core.formats import Family
from converto_engines.converter import Product, Report
from converto_infra.clock import Clock
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings
from converto_infra.telemetry import configure_logging


class NoWork(JobRunner):
    """Returns immediately, without outputs."""

    def __init__(self) -> None:
        """Create a runner that needs no sources or engines."""

    async def run(self, claimed: Conversion, folder: Path, report: Report) -> JobResult:
        """No outputs, as after a job."""
        return JobResult(outputs=(), engine_versions={})


class FixedWork(JobRunner):
    """Reads the source, waits for a child process, writes the result."""

    def __init__(self, objects: S3ObjectStore, settings: Settings) -> None:
        """Create a runner that reads from and writes to the object store."""
        self._objects, self._results, self._timeout_s = (
            objects,
            Results(objects, Clock()),
            settings.conversion_timeout_s,
        )

    async def run(self, claimed: Conversion, folder: Path, report: Report) -> JobResult:
        """The result is the source."""
        note(RUN, claimed.id)
        path, retry = folder / "source", server_retry(claimed, self._timeout_s, Clock())
        await retry(lambda: self._objects.download(source_key(claimed.id), path))
        child = await asyncio.create_subprocess_exec("sleep", str(WORK_S))
        if await child.wait() != 0:
            raise EngineError("The program ended too early")
        outputs = await self._results.upload(claimed, [Product(path=path)], report, retry)
        return JobResult(outputs=outputs, engine_versions={})


class JournalingBus(RabbitEventBus):
    """Records when a conversion becomes visible as completed, which is when a webhook would be sent."""

    async def publish_event(self, event: ConversionEvent) -> None:
        """Record the completion, then publish."""
        if event.status is Status.COMPLETED:
            note(EFFECT, event.id)
        await super().publish_event(event)


async def serve(settings: Settings, *, is_fixed: bool) -> None:
    """Run conversions until asked to stop."""
    async with AsyncExitStack() as left_open:
        stop, clock, running_jobs = Stop(), Clock(), RunningJobs()
        stop_on_signals(stop, grace_s=settings.stop_grace_s)
        worker_id = f"bench-{os.getpid()}-{secrets.token_hex(3)}"
        stores, objects, bus, workspace = await left_open.enter_async_context(_opened(settings, worker_id, is_fixed))
        context = WorkerContext(
            worker_id=worker_id,
            families=TakenFamilies(Family),
            conversions=stores.conversions,
            objects=objects,
            bus=bus,
            waiters=Waiters(conversions=stores.conversions, cache=stores.cache, bus=bus, clock=clock),
            workspace=workspace,
            running_jobs=running_jobs,
            gate=ExclusiveGate(),
            stop=stop,
            settings=settings,
            clock=clock,
        )
        register = WorkerRegistry(
            _record(worker_id, settings, clock),
            store=stores.workers,
            running_jobs=running_jobs,
            clock=clock,
            stopping=stop.stopping,
        )
        runners = [FixedWork(objects, settings) if is_fixed else NoWork() for _ in range(settings.slots)]
        slots = [Slot(context, runner, takes_quarantine=number == 0) for number, runner in enumerate(runners)]
        await _work(slots, register)


async def _work(slots: list[Slot], registry: WorkerRegistry) -> None:
    async with asyncio.TaskGroup() as tasks:
        registering = tasks.create_task(registry.run())
        await asyncio.wait([tasks.create_task(slot.run()) for slot in slots])
        registering.cancel()


def _record(worker_id: str, settings: Settings, clock: Clock) -> Worker:
    now = clock.now_ms()
    return Worker(
        id=worker_id,
        host="bench",
        pid=os.getpid(),
        started_at=now,
        seen_at=now,
        slots=settings.slots,
        sandbox="off",
        offers=(),
    )


@asynccontextmanager
async def _opened(
    settings: Settings, worker_id: str, is_fixed: bool
) -> AsyncIterator[tuple[MongoStores, S3ObjectStore, RabbitEventBus, Workspace]]:
    stores, objects = MongoStores.connect(settings), S3ObjectStore.connect(settings)
    bus = JournalingBus(settings) if is_fixed else RabbitEventBus(settings)
    workspace = Workspace(Path(tempfile.gettempdir()) / f"converto-bare-{os.getuid()}", worker_id, reserve_bytes=0)
    workspace.open()
    workspace.clean_up()
    try:
        yield stores, objects, bus, workspace
    finally:
        workspace.close()
        await bus.close()
        await objects.close()
        await stores.close()


def main() -> None:
    """Run the worker; the only argument is `nothing` or `fixed`."""
    settings = Settings()
    configure_logging(settings, service="bare_worker")
    asyncio.run(serve(settings, is_fixed=sys.argv[1] == "fixed"))


if __name__ == "__main__":
    main()
