"""Composition root of the worker: builds its parts and defines the order in which they start and stop."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

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
from converto_core.catalogue import Offer, Worker
from converto_core.errors import ConvertoError, DependencyUnavailable
from converto_core.formats import Family
from converto_core.ports.stores import CacheStore, FileStore
from converto_engines.converter import Converter, offers_of
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from converto_infra.clock import Clock
from converto_infra.ecs.agent import EcsAgent
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.retry import Retry
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class CannotWork(ConvertoError):
    """Raised when this worker could never run a conversion; the message says what to install or to set."""

    code = "worker_cannot_work"


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


class InstalledConverters(msgspec.Struct, frozen=True):
    """What this worker can run: the converters of each slot, their offers, and the families it takes."""

    sandbox: Sandbox
    sets: Sequence[Sequence[Converter]]
    offers: tuple[Offer, ...]
    families: tuple[Family, ...]

    def for_slot(self, slot: int) -> ConverterSet:
        """Return the converters of one slot; a plan may need any of them, also of a family that is not taken."""
        return ConverterSet(
            converters={converter.name: converter for converter in self.sets[slot]},
            offers={offer.converter: offer for offer in self.offers},
        )

    @property
    def taken_offers(self) -> tuple[Offer, ...]:
        """Offers of the families that this worker takes: messages of other families would find no consumer."""
        return tuple(offer for offer in self.offers if offer.family in self.families)


async def run_worker(settings: Settings, parts: WorkerParts | None = None) -> None:
    """Run one worker from start to stop; raise `EngineMissing`, `CannotWork` or `WorkFolderRefused`."""
    parts = parts or WorkerParts()
    stop, clock = Stop(), parts.clock
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    stop_on_signals(stop, grace_s=settings.stop_grace_s)
    async with AsyncExitStack() as resources:
        workspace = await resources.enter_async_context(_workspace(settings, worker_id))
        installed = await resources.enter_async_context(_converters(settings, parts, workspace.folder))
        servers = await resources.enter_async_context(_servers(settings, parts))
        if not await wait_for_servers(servers, stop, clock):
            return
        context = WorkerContext(
            worker_id=worker_id,
            families=installed.families,
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
            _record(worker_id, settings, installed, clock),
            store=servers.stores.workers,
            running_jobs=context.running_jobs,
            clock=clock,
            stopping=stop.stopping,
        )
        log.info("worker.started", worker=worker_id, slots=settings.slots, families=list(installed.families))
        await _work_until_stopped(_slots(context, installed, servers), registry, _task_protection(context))
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


async def _work_until_stopped(
    slots: Sequence[Slot], registry: WorkerRegistry, protection: TaskProtection | None
) -> None:
    """Run the slots until they end; the worker's record goes last, so that the worker can be seen stopping."""
    async with asyncio.TaskGroup() as tasks:
        companions = [tasks.create_task(registry.run(), name="registry")]
        if protection:
            companions.append(tasks.create_task(protection.run(), name="task protection"))
        running = [tasks.create_task(slot.run(), name=f"slot {number}") for number, slot in enumerate(slots)]
        await asyncio.wait(running)
        for companion in companions:
            companion.cancel()
    await registry.deregister()


def _task_protection(context: WorkerContext) -> TaskProtection | None:
    """Return what protects the ECS task of this worker, None outside of ECS."""
    agent = EcsAgent.from_environment(os.environ)
    return TaskProtection(agent, context.running_jobs, context.clock) if agent else None


def _slots(context: WorkerContext, installed: InstalledConverters, servers: Servers) -> list[Slot]:
    stores = servers.stores
    runners = [
        build_runner(context, installed.for_slot(number), files=stores.files, cache=stores.cache)
        for number in range(context.settings.slots)
    ]
    return [Slot(context, runner, takes_quarantine=number == 0) for number, runner in enumerate(runners)]


def build_runner(context: WorkerContext, converters: ConverterSet, *, files: FileStore, cache: CacheStore) -> JobRunner:
    """Build what runs the jobs of one slot."""
    sources = Sources(
        conversions=context.conversions,
        files=files,
        objects=context.objects,
        workspace=context.workspace,
        clock=context.clock,
    )
    results = Results(context.objects)
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
        settings=context.settings,
        clock=context.clock,
    )


def _record(worker_id: str, settings: Settings, installed: InstalledConverters, clock: Clock) -> Worker:
    return Worker(
        id=worker_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=clock.now_ms(),
        seen_at=clock.now_ms(),
        slots=settings.slots,
        sandbox=installed.sandbox.name,
        offers=installed.taken_offers,
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
async def _converters(settings: Settings, parts: WorkerParts, scratch: Path) -> AsyncIterator[InstalledConverters]:
    sandbox = await Sandbox.choose(settings.sandbox)
    sets = [parts.converters(sandbox, scratch=scratch) for _ in range(settings.slots)]
    offers = await offers_of(sets[0])
    families = _families(settings, offers)
    try:
        yield InstalledConverters(sandbox=sandbox, sets=sets, offers=offers, families=families)
    finally:
        for converters in sets:
            for converter in converters:
                await converter.aclose()


def _families(settings: Settings, offers: Sequence[Offer]) -> tuple[Family, ...]:
    installed = {offer.family for offer in offers}
    wanted = {name.lower() for name in settings.family_names}
    unknown = wanted - set(Family)
    if unknown:
        raise CannotWork(
            f"CONVERTO_FAMILIES names unknown families: {', '.join(sorted(unknown))}. Use some of: {', '.join(Family)}"
        )
    families = tuple(family for family in Family if family in installed and (not wanted or family in wanted))
    if not families:
        raise CannotWork(
            "No conversion program is installed for "
            f"{', '.join(sorted(wanted)) or 'any family'}. Install LibreOffice with python3-uno (office), "
            "libvips (images, PDF), ffmpeg (video, audio) or assimp (model), or change CONVERTO_FAMILIES"
        )
    return families


@asynccontextmanager
async def _servers(settings: Settings, parts: WorkerParts) -> AsyncIterator[Servers]:
    servers = parts.connect(settings)
    try:
        yield servers
    finally:
        await servers.bus.close()
        await servers.objects.close()
        await servers.stores.close()
