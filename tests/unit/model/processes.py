"""File service, housekeeper and worker as processes that a test can freeze, kill and cut off.

They run the production code. Only the conversion itself is scripted: an engine does what the test orders.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

from conversion_worker.job.results import JobResult
from conversion_worker.job.steps import JobRunner, server_retry
from conversion_worker.job.workspace import Workspace
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.context import Stop, WorkerContext
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.slot.families import TakenFamilies
from conversion_worker.slot.slot import Slot
from conversion_worker.worker_registry import RunningJobs
from converto_core.conversion.processing import record_source
from converto_core.conversion.record import Conversion, Lane, Output
from converto_core.errors import (
    BusUnavailable,
    ConvertoError,
    EngineError,
    ObjectStoreUnavailable,
    StoreUnavailable,
    UploadEventsUnavailable,
)
from converto_core.formats import Family
from converto_core.object_keys import output_key
from converto_engines.converter import Report
from converto_infra.clock import Clock
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores, MemoryUploadEvents
from converto_infra.retry import Retry
from converto_infra.settings import Settings
from file_service.housekeeping.sweeps import Sweep, Sweeps
from file_service.uploads.event_consumer import UploadEventConsumer
from file_service.wiring import Wiring, build_wiring
from tests.unit.model.links import ACTOR, Link, Remote, RemoteBus, RemoteStores
from tests.unit.model.reference_model import API, HOUSEKEEPER, WORKER
from tests.unit.model.stepped_loop import SteppedLoop

GRACE_S = 3.0  # between the two requests to a worker to stop


class Servers:
    """The servers, the settings of all processes and the true time."""

    def __init__(
        self,
        *,
        loop: SteppedLoop,
        stores: MemoryStores,
        objects: MemoryObjectStore,
        bus: MemoryEventBus,
        upload_events: MemoryUploadEvents,
        settings: Settings,
        start_ms: int,
    ) -> None:
        self.loop, self.stores, self.objects, self.bus = loop, stores, objects, bus
        self.upload_events = upload_events
        self.settings, self.start_ms = settings, start_ms
        self.violations: list[str] = []


class OwnClock(Clock):
    """The clocks of one process: both differ from those of others, and no timer fires while it is frozen."""

    def __init__(self, process: "Process", offset_s: float) -> None:
        self._process, self._offset_s = process, offset_s
        self.wrong_ms = 0

    def monotonic(self) -> float:
        return self._process.servers.loop.time() + self._offset_s

    def now_ms(self) -> int:
        return self._process.servers.start_ms + int(self._process.servers.loop.time() * 1000) + self.wrong_ms

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await self._process.awake()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        await super().wait(event, seconds)
        await self._process.awake()
        return event.is_set()


class Process:
    """A running process with its own link to each server."""

    role = ""

    def __init__(self, servers: Servers, name: str, *, offset_s: float) -> None:
        self.servers, self.name, self.is_dead = servers, name, False
        self.lease_s = servers.settings.lease_s
        self.clock = OwnClock(self, offset_s)
        self.database = Link(self, StoreUnavailable)
        self.broker = Link(self, BusUnavailable)
        self.storage = Link(self, ObjectStoreUnavailable)
        self.reports = Link(self, UploadEventsUnavailable)
        self.links = (self.database, self.broker, self.storage, self.reports)
        self.stores: Any = RemoteStores(servers.stores, self.database)
        self.objects: Any = Remote(servers.objects, self.storage)
        self.bus: Any = RemoteBus(servers.bus, self.broker)
        self.upload_events: Any = Remote(servers.upload_events, self.reports)
        self._awake = asyncio.Event()
        self._awake.set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return self.name

    @property
    def is_frozen(self) -> bool:
        return not self._awake.is_set()

    def freeze(self) -> None:
        """Like SIGSTOP: time goes on and the process does not notice."""
        self._awake.clear()

    def thaw(self) -> None:
        """Like SIGCONT."""
        self._awake.set()

    async def awake(self) -> None:
        while self.is_frozen:
            await self._awake.wait()

    def kill(self) -> None:
        """From now on, nothing it does reaches a server."""
        self.is_dead = True
        self.thaw()
        for task in self._tasks:
            task.cancel()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        context = copy_context()
        context.run(ACTOR.set, self)
        task = self.servers.loop.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and not self.is_dead and (error := task.exception()) is not None:
            self.servers.violations.append(f"{self.name} raised {error!r}")


class Api(Process):
    """The file service without HTTP: the use cases behind its routes, and the consumer of upload events."""

    role = API

    def __init__(self, servers: Servers, name: str, *, offset_s: float) -> None:
        super().__init__(servers, name, offset_s=offset_s)
        self.wiring: Wiring = build_wiring(servers.settings, self.stores, self.objects, self.bus)
        self.spawn(self.wiring.dispatch.run(asyncio.Event()))
        consumer = UploadEventConsumer(
            self.upload_events,
            self.stores.files,
            confirm_upload=self.confirm_unattended,
            check_dependencies=self.stores.ping,
            clock=self.clock,
        )
        self.spawn(consumer.run(asyncio.Event()))

    async def confirm_unattended(self, file_id: str) -> None:
        """Confirm an upload that the object store has reported."""
        await self.wiring.starter.confirm_upload(None, file_id)

    def ask(self, request: Coroutine[Any, Any, Any]) -> None:
        """Handle a user's request; an error response counts as an answer."""
        self.spawn(_answered(request))


async def _answered(request: Coroutine[Any, Any, Any]) -> None:
    try:
        await request
    except ConvertoError:
        return


class Housekeeper(Process):
    """All sweeps, each at its own interval."""

    role = HOUSEKEEPER

    def __init__(self, servers: Servers, name: str, *, offset_s: float, lease_s: float) -> None:
        super().__init__(servers, name, offset_s=offset_s)
        self.lease_s = lease_s
        wiring = build_wiring(servers.settings, self.stores, self.objects, self.bus)
        self._nudge: dict[str, asyncio.Event] = {}

        async def confirm_upload(file_id: str) -> None:
            await wiring.starter.confirm_upload(None, file_id)

        sweeps = Sweeps(
            servers.settings.model_copy(update={"lease_s": lease_s}),
            self.stores,
            self.objects,
            self.bus,
            confirm_upload=confirm_upload,
            monotonic=self.clock.monotonic,
            now_ms=self.clock.now_ms,
        )
        for sweep in sweeps.all:
            self.spawn(self._repeat(sweeps, sweep))

    def nudge(self) -> None:
        """Run all sweeps now."""
        for event in self._nudge.values():
            event.set()

    async def _repeat(self, sweeps: Sweeps, sweep: Sweep) -> None:
        nudge = self._nudge[sweep.name] = asyncio.Event()
        while True:
            await self.awake()
            nudge.clear()
            await sweeps.run(sweep)
            await self.clock.wait(nudge, sweep.interval_s)


class Engine:
    """One run of the program on one conversion."""

    def __init__(self, claimed: Conversion) -> None:
        self.claimed = claimed
        self.orders: asyncio.Queue[float | Exception | None] = asyncio.Queue()

    def progress(self, percent: float) -> None:
        self.orders.put_nowait(percent)

    def fail(self, error: Exception) -> None:
        self.orders.put_nowait(error)

    def finish(self) -> None:
        self.orders.put_nowait(None)


class Worker(Process):
    """A worker with two slots, one of which consumes the quarantine lane."""

    role = WORKER

    def __init__(
        self, servers: Servers, name: str, *, offset_s: float, on_end: Callable[["Worker"], None], slots: int = 2
    ) -> None:
        super().__init__(servers, name, offset_s=offset_s)
        self.engines: list[Engine] = []
        self.succeeds_always = False
        self.stop = Stop()
        context = WorkerContext(
            worker_id=name,
            families=TakenFamilies(Family),
            conversions=self.stores.conversions,
            objects=self.objects,
            bus=self.bus,
            waiters=Waiters(
                conversions=self.stores.conversions, cache=self.stores.cache, bus=self.bus, clock=self.clock
            ),
            workspace=_NoFolders(),
            running_jobs=RunningJobs(),
            gate=ExclusiveGate(),
            stop=self.stop,
            settings=servers.settings,
            clock=self.clock,
        )
        running = [
            self.spawn(Slot(context, _ScriptedJobs(self), takes_quarantine=number == 0).run())
            for number in range(slots)
        ]
        self.spawn(self._live(running, on_end))

    def ask_to_stop(self) -> None:
        """SIGTERM, and a second one after the grace period."""
        self.stop.stopping.set()
        self.servers.loop.call_later(GRACE_S, self.stop.hand_back.set)

    def succeed_always(self) -> None:
        """From now on, every engine succeeds without an order."""
        self.succeeds_always = True
        for engine in self.engines:
            engine.finish()

    async def _live(self, running: list[asyncio.Task[Any]], on_end: Callable[["Worker"], None]) -> None:
        await asyncio.wait(running)
        on_end(self)

    def at_rest(self) -> None:
        """Check that a quarantined conversion runs alone in its worker."""
        has_quarantined = any(engine.claimed.lane is Lane.QUARANTINE for engine in self.engines)
        if has_quarantined and len(self.engines) > 1:
            self.servers.violations.append(f"{self.name} runs a quarantined conversion next to others")


class _ScriptedJobs(JobRunner):
    """Replaces the steps of a job: runs an engine that the test controls, then uploads its output."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def run(self, claimed: Conversion, folder: Path, report: Report) -> JobResult:
        worker = self._worker
        retry = server_retry(worker.servers.settings.conversion_timeout_s, worker.clock)
        engine = Engine(claimed)
        worker.engines.append(engine)
        try:
            if worker.succeeds_always:
                engine.finish()
            known = record_source(claimed, source_sha256="0" * 64, cache_key=None, now_ms=worker.clock.now_ms())
            await retry(lambda: worker.stores.conversions.apply(known))
            await self._obey(engine, report)
            return JobResult(outputs=(await self._upload(claimed, retry),), engine_versions={"scripted": "1"})
        finally:
            worker.engines.remove(engine)

    async def _obey(self, engine: Engine, report: Report) -> None:
        while (order := await engine.orders.get()) is not None:
            await self._worker.awake()
            if isinstance(order, Exception):
                raise order
            report(order, "converting")

    async def _upload(self, claimed: Conversion, retry: Retry) -> Output:
        key = output_key(claimed, "result.pdf")
        await retry(lambda: self._worker.objects.put(key, b"made", content_type="application/pdf"))
        return Output(
            key=key,
            filename="notes.pdf",
            content_type="application/pdf",
            size_bytes=4,
            sha256=hashlib.sha256(b"made").hexdigest(),
            sha512="0" * 128,
        )


class _NoFolders(Workspace):
    """A workspace with unlimited room that touches no disk."""

    def __init__(self) -> None:
        self.folder = Path("nowhere")

    def has_room(self, needed_bytes: int = 0) -> bool:
        return True

    @asynccontextmanager
    async def job_folder(self, name: str) -> AsyncIterator[Path]:
        yield self.folder / name


def crash() -> EngineError:
    """An engine failure that a retry may overcome."""
    return EngineError("The program crashed", code="engine_crashed")
