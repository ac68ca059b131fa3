"""Composition root of the worker: builds its parts and defines the order in which they start and stop."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from conversion_worker.engines import (
    FIRST_LOOK_S,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    EngineQuestions,
    wanted_families,
)
from conversion_worker.job.other_workers import OtherWorkers
from conversion_worker.job.plan import ConverterSet
from conversion_worker.job.results import Results
from conversion_worker.job.source import Sources
from conversion_worker.job.steps import JobRunner
from conversion_worker.job.workspace import Workspace, default_root
from conversion_worker.single_flight.single_flight import SingleFlight
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.context import Stop, WorkerContext
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.slot.slot import Slot
from conversion_worker.task_protection import TaskProtection
from conversion_worker.worker_registry import RunningJobs, WorkerRegistry
from converto_core.catalogue import Worker
from converto_core.errors import DependencyUnavailable, EngineNotAnswering
from converto_core.ports.stores import CacheStore, FileStore, WorkerStore
from converto_engines.converter import Converter
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from converto_infra.clock import Clock
from converto_infra.concurrency import side_by_side, unless
from converto_infra.ecs.agent import EcsAgent
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.retry import Backoff, Retry
from converto_infra.s3.store import S3ObjectStore
from converto_infra.sealing.seals import Seals
from converto_infra.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Servers(msgspec.Struct, frozen=True):
    """Adapters of the three servers that a worker uses."""

    stores: MongoStores
    objects: S3ObjectStore
    bus: RabbitEventBus

    @classmethod
    def connect(cls, settings: Settings) -> "Servers":
        """Build the adapters; each opens its connection when it is first used."""
        return cls(
            stores=MongoStores.connect(settings),
            objects=S3ObjectStore.connect(settings),
            bus=RabbitEventBus.connect(settings),
        )


class ConverterBuilder(Protocol):
    """Builds the converters of one slot; see `build_converters`."""

    def __call__(self, sandbox: Sandbox, *, scratch: Path | None = None) -> list[Converter]: ...


class WorkerParts(msgspec.Struct, frozen=True):
    """What a worker is built from. The chaos suite passes servers, converters and clocks that misbehave."""

    connect: Callable[[Settings], Servers] = Servers.connect
    converters: ConverterBuilder = build_converters
    clock: Clock = Clock()
    sandbox: Callable[[str], Coroutine[Any, Any, Sandbox]] = Sandbox.choose
    first_look_s: float = FIRST_LOOK_S


class WorkerEngines(msgspec.Struct, frozen=True):
    """What this worker can run: its sandbox, the converters of each slot, and what is known of their programs."""

    sandbox: Sandbox
    sets: Sequence[Sequence[Converter]]
    questions: EngineQuestions
    asking: asyncio.Task[None]

    def for_slot(self, slot: int) -> ConverterSet:
        """Return the converters of one slot; a plan may need any of them, also of a family that is not taken."""
        return ConverterSet(
            converters={converter.name: converter for converter in self.sets[slot]},
            offers=self.questions.offers,
            not_answering=self.questions.not_answering,
        )


async def run_worker(settings: Settings, parts: WorkerParts | None = None) -> None:
    """Run one worker from start to stop; raise `EngineMissing`, `CannotWork` or `WorkFolderRefused`."""
    parts = parts or WorkerParts()
    stop, clock = Stop(), parts.clock
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    stop_on_signals(stop, grace_s=settings.stop_grace_s)
    async with AsyncExitStack() as resources:
        workspace = await resources.enter_async_context(_workspace(settings, worker_id))
        engines = await resources.enter_async_context(_engines(settings, parts, workspace.folder, stop))
        servers = await resources.enter_async_context(_servers(settings, parts))
        if engines is None or not await wait_for_servers(servers, stop, clock):
            return
        context = WorkerContext(
            worker_id=worker_id,
            families=engines.questions.families,
            conversions=servers.stores.conversions,
            objects=servers.objects,
            bus=servers.bus,
            waiters=Waiters(
                conversions=servers.stores.conversions, cache=servers.stores.cache, bus=servers.bus, clock=clock
            ),
            workspace=workspace,
            running_jobs=RunningJobs(),
            gate=ExclusiveGate(),
            stop=stop,
            settings=settings,
            clock=clock,
        )
        registry = WorkerRegistry(
            _record(worker_id, settings, engines.sandbox, clock),
            store=servers.stores.workers,
            running_jobs=context.running_jobs,
            clock=clock,
            stopping=stop.stopping,
            installed=engines.questions.installed,
        )
        engines.questions.watch(registry.note_change)
        families = engines.questions.families.now.families
        log.info("worker.started", worker=worker_id, slots=settings.slots, families=list(families))
        companions = [registry.run(), _asked(engines.asking)]
        if protection := _task_protection(context):
            companions.append(protection.run())
        await _work_until_stopped(_slots(context, engines, servers), companions)
        await registry.deregister()
        log.info("worker.stopped", worker=worker_id)


def stop_on_signals(stop: Stop, *, grace_s: float) -> None:
    """On SIGTERM or SIGINT, take nothing new and finish within the grace period; on a second one, hand back at once."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.stopping.is_set():
            log.warning("worker.gives_back")
            stop.hand_back.set()
            return
        log.info("worker.stopping", grace_s=grace_s)
        stop.stopping.set()
        loop.call_later(grace_s, stop.hand_back.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


async def wait_for_servers(servers: Servers, stop: Stop, clock: Clock) -> bool:
    """Wait until each server has answered once; return False when asked to stop meanwhile."""
    pings: dict[str, Callable[[], Awaitable[None]]] = {
        "database": servers.stores.ping,
        "object store": servers.objects.ping,
        "broker": servers.bus.ping,
    }
    for name, ping in pings.items():
        await _wait_for(name, ping, stop, clock)
    return not stop.stopping.is_set()


async def _wait_for(name: str, ping: Callable[[], Awaitable[None]], stop: Stop, clock: Clock) -> None:
    async def ping_unless_stopping() -> None:
        if not stop.stopping.is_set():
            await ping()

    def report(error: DependencyUnavailable, failures: int) -> None:
        log.warning("worker.waits_for_server", server=name, failures=failures, detail=error.detail)

    await Retry(first_s=0.5, longest_s=5, clock=clock, stop=stop.stopping, on_failure=report)(ping_unless_stopping)


async def _work_until_stopped(slots: Sequence[Slot], companions: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run the slots until they end, and the companions as long; an error of any of them ends all."""
    async with side_by_side() as tasks:
        beside = [tasks.create_task(companion) for companion in companions]
        running = [tasks.create_task(slot.run(), name=f"slot {number}") for number, slot in enumerate(slots)]
        await asyncio.wait(running)
        for companion in beside:
            companion.cancel()


async def _asked(asking: asyncio.Task[None]) -> None:
    """Raise what ends the questions to the programs, such as `CannotWork`; their owner cancels them."""
    await asyncio.shield(asking)


def _task_protection(context: WorkerContext) -> TaskProtection | None:
    """Return what protects the ECS task of this worker, None outside of ECS."""
    agent = EcsAgent.from_environment(os.environ)
    return TaskProtection(agent, context.running_jobs, context.clock) if agent else None


def _slots(context: WorkerContext, engines: WorkerEngines, servers: Servers) -> list[Slot]:
    stores = servers.stores
    runners = [
        build_runner(context, engines.for_slot(number), files=stores.files, cache=stores.cache, workers=stores.workers)
        for number in range(context.settings.slots)
    ]
    return [Slot(context, runner, takes_quarantine=number == 0) for number, runner in enumerate(runners)]


def build_runner(
    context: WorkerContext, converters: ConverterSet, *, files: FileStore, cache: CacheStore, workers: WorkerStore
) -> JobRunner:
    """Build what runs the jobs of one slot."""
    sources = Sources(
        conversions=context.conversions,
        files=files,
        objects=context.objects,
        workspace=context.workspace,
        clock=context.clock,
    )
    results = Results(context.objects, context.clock)
    single_flight = SingleFlight(
        cache=cache,
        conversions=context.conversions,
        results=results,
        settings=context.settings,
        clock=context.clock,
    )
    return JobRunner(
        sources=sources,
        single_flight=single_flight,
        results=results,
        converters=converters,
        other_workers=OtherWorkers(workers, own_id=context.worker_id, clock=context.clock),
        seals=Seals(context.settings.sealing_keys),
        settings=context.settings,
        clock=context.clock,
    )


def _record(worker_id: str, settings: Settings, sandbox: Sandbox, clock: Clock) -> Worker:
    return Worker(
        id=worker_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=clock.now_ms(),
        seen_at=clock.now_ms(),
        slots=settings.slots,
        sandbox=sandbox.name,
    )


@asynccontextmanager
async def _workspace(settings: Settings, worker_id: str) -> AsyncIterator[Workspace]:
    root = Path(settings.work_dir) if settings.work_dir else default_root()
    workspace = Workspace(root, worker_id, reserve_bytes=settings.work_reserve_bytes)
    await asyncio.to_thread(workspace.open)
    try:
        await asyncio.to_thread(workspace.clean_up)
        yield workspace
    finally:
        await asyncio.to_thread(workspace.close)


@asynccontextmanager
async def _engines(
    settings: Settings, parts: WorkerParts, scratch: Path, stop: Stop
) -> AsyncIterator[WorkerEngines | None]:
    """Build the converters and ask their programs for their versions; None when asked to stop before the sandbox works.

    The questions go on until they are answered or the worker ends.
    """
    wanted = wanted_families(settings.family_names)
    sandbox = await choose_sandbox(partial(parts.sandbox, settings.sandbox), stop.stopping, parts.clock)
    if sandbox is None:
        yield None
        return
    sets = [parts.converters(sandbox, scratch=scratch) for _ in range(settings.slots)]
    questions = EngineQuestions(sets[0], wanted, clock=parts.clock, stopping=stop.stopping)
    asking = asyncio.create_task(questions.run(), name="versions")
    try:
        await unless(stop.stopping, questions.first_look(parts.first_look_s))
        yield WorkerEngines(sandbox=sandbox, sets=sets, questions=questions, asking=asking)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        for converters in sets:
            for converter in converters:
                await converter.aclose()


async def choose_sandbox(
    choose: Callable[[], Coroutine[Any, Any, Sandbox]], stopping: asyncio.Event, clock: Clock
) -> Sandbox | None:
    """Return the sandbox that works here; test again when a test did not end. None when asked to stop meanwhile."""
    backoff = Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S, clock=clock, stop=stopping)
    while not stopping.is_set():
        try:
            return await unless(stopping, choose())
        except EngineNotAnswering as error:
            log.warning("worker.sandbox_not_answering", failures=backoff.failures + 1, detail=error.detail)
            await backoff.pause()
    return None


@asynccontextmanager
async def _servers(settings: Settings, parts: WorkerParts) -> AsyncIterator[Servers]:
    servers = parts.connect(settings)
    try:
        yield servers
    finally:
        await servers.bus.close()
        await servers.objects.close()
        await servers.stores.close()
