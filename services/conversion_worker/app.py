"""The composition root of the worker: builds everything, passes it in, and says in which order it starts and stops."""

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

from conversion_worker.clock import Clock, SystemClock, backoff_s
from conversion_worker.job.results import Results
from conversion_worker.job.source import Sources
from conversion_worker.job.steps import Engines, JobRunner
from conversion_worker.job.workspace import Workspace, default_root
from conversion_worker.single_flight.single_flight import SingleFlight
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.consumer import Slot, Stop, WorkerContext
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.worker_registry import RunningJobs, WorkerRegistry
from converto_core.catalogue import Offer, Worker
from converto_core.errors import ConvertoError, DependencyUnavailable
from converto_core.formats import Family
from converto_engines.converter import Converter, offers_of
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class CannotWork(ConvertoError):
    """Raised when no conversion could ever run here; the message says what to install or to set."""

    code = "worker_cannot_work"


class Servers(msgspec.Struct, frozen=True):
    """The three servers a worker talks to."""

    stores: MongoStores
    objects: S3ObjectStore
    bus: RabbitEventBus

    @classmethod
    def connect(cls, settings: Settings) -> "Servers":
        """Their adapters; connections are opened when they are first needed."""
        return cls(
            stores=MongoStores.connect(settings),
            objects=S3ObjectStore.connect(settings),
            bus=RabbitEventBus.connect(settings),
        )


class ConverterBuilder(Protocol):
    """Makes the converters of one slot; see `build_converters`."""

    def __call__(self, sandbox: Sandbox, *, scratch: Path | None = None) -> list[Converter]: ...


class WorkerParts(msgspec.Struct, frozen=True):
    """What a worker is built from. The chaos suite gives it servers, converters and clocks that misbehave."""

    connect: Callable[[Settings], Servers] = Servers.connect
    converters: ConverterBuilder = build_converters
    clock: Clock = SystemClock()


class Programs(msgspec.Struct, frozen=True):
    """What this worker can run: one set of converters for each slot, what they offer, which families it takes."""

    sandbox: Sandbox
    sets: Sequence[Sequence[Converter]]
    offers: tuple[Offer, ...]
    families: tuple[Family, ...]

    def equipment(self, slot: int) -> Engines:
        """The converters of one slot, by name. A plan may need any of them, also of a family that is not taken."""
        return Engines(
            converters={converter.name: converter for converter in self.sets[slot]},
            offers={offer.converter: offer for offer in self.offers},
        )

    @property
    def taken_offers(self) -> tuple[Offer, ...]:
        """Only what starts in a family that this worker takes: other wake-ups would find nobody."""
        return tuple(offer for offer in self.offers if offer.family in self.families)


async def run_worker(settings: Settings, parts: WorkerParts | None = None) -> None:
    """One worker, start to stop; raises `EngineMissing`, `CannotWork` or `WorkFolderRefused` if it cannot run here."""
    parts = parts or WorkerParts()
    stop, clock = Stop(), parts.clock
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    with_signals(stop, grace_s=settings.stop_grace_s)
    async with AsyncExitStack() as open_things:
        workspace = await open_things.enter_async_context(_workspace(settings, worker_id))
        programs = await open_things.enter_async_context(_programs(settings, parts, workspace.folder))
        servers = await open_things.enter_async_context(_servers(settings, parts))
        if not await wait_for_servers(servers, stop, clock):
            return
        board = RunningJobs()
        around = WorkerContext(
            worker_id=worker_id,
            families=programs.families,
            conversions=servers.stores.conversions,
            objects=servers.objects,
            bus=servers.bus,
            followers=Waiters(
                conversions=servers.stores.conversions, cache=servers.stores.cache, bus=servers.bus, clock=clock
            ),
            workspace=workspace,
            board=board,
            company=ExclusiveGate(),
            stop=stop,
            settings=settings,
            clock=clock,
        )
        register = WorkerRegistry(
            _record(worker_id, settings, programs, clock),
            store=servers.stores.workers,
            board=board,
            clock=clock,
            stopping=stop.stopping,
        )
        log.info("worker.started", worker=worker_id, slots=settings.slots, families=list(programs.families))
        await _work_until_stopped(_slots(around, programs, servers), register)
        log.info("worker.stopped", worker=worker_id)


def with_signals(stop: Stop, *, grace_s: float) -> None:
    """SIGTERM or SIGINT: take nothing new and finish within the grace period; a second one: give back at once."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.stopping.is_set():
            log.warning("worker.gives_back")
            stop.give_back.set()
            return
        log.info("worker.stopping", grace_s=grace_s)
        stop.stopping.set()
        loop.call_later(grace_s, stop.give_back.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


async def wait_for_servers(servers: Servers, stop: Stop, clock: Clock) -> bool:
    """Wait until each server has answered once, and say which one is waited for; False when asked to stop meanwhile."""
    pings: dict[str, Callable[[], Awaitable[None]]] = {
        "database": servers.stores.ping,
        "object store": servers.objects.ping,
        "broker": servers.bus.ping,
    }
    for name, ping in pings.items():
        await _wait_for(name, ping, stop, clock)
    return not stop.stopping.is_set()


async def _wait_for(name: str, ping: Callable[[], Awaitable[None]], stop: Stop, clock: Clock) -> None:
    failures = 0
    while not stop.stopping.is_set():
        try:
            await ping()
            return
        except DependencyUnavailable as error:
            failures += 1
            log.warning("worker.waits_for_server", server=name, failures=failures, detail=error.detail)
        await clock.wait(stop.stopping, backoff_s(failures, base_s=0.5, max_s=5))


async def _work_until_stopped(slots: Sequence[Slot], register: WorkerRegistry) -> None:
    """All slots end by themselves when the worker stops; the record goes last, so that it can be seen stopping."""
    async with asyncio.TaskGroup() as tasks:
        registering = tasks.create_task(register.run(), name="register")
        running = [tasks.create_task(slot.run(), name=f"slot {number}") for number, slot in enumerate(slots)]
        await asyncio.wait(running)
        registering.cancel()
    await register.leave()


def _slots(around: WorkerContext, programs: Programs, servers: Servers) -> list[Slot]:
    sources = Sources(
        conversions=servers.stores.conversions,
        files=servers.stores.files,
        objects=servers.objects,
        workspace=around.workspace,
        clock=around.clock,
    )
    results = Results(servers.objects)
    sharing = SingleFlight(
        cache=servers.stores.cache,
        conversions=servers.stores.conversions,
        results=results,
        settings=around.settings,
        clock=around.clock,
    )
    runners = [
        JobRunner(
            sources=sources,
            sharing=sharing,
            results=results,
            equipment=programs.equipment(number),
            settings=around.settings,
            clock=around.clock,
        )
        for number in range(around.settings.slots)
    ]
    return [Slot(around, runner, takes_quarantine=number == 0) for number, runner in enumerate(runners)]


def _record(worker_id: str, settings: Settings, programs: Programs, clock: Clock) -> Worker:
    return Worker(
        id=worker_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=clock.now_ms(),
        seen_at=clock.now_ms(),
        slots=settings.slots,
        sandbox=programs.sandbox.name,
        offers=programs.taken_offers,
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
async def _programs(settings: Settings, parts: WorkerParts, scratch: Path) -> AsyncIterator[Programs]:
    sandbox = await Sandbox.choose(settings.sandbox)
    sets = [parts.converters(sandbox, scratch=scratch) for _ in range(settings.slots)]
    offers = await offers_of(sets[0])
    families = _families(settings, offers)
    try:
        yield Programs(sandbox=sandbox, sets=sets, offers=offers, families=families)
    finally:
        for converters in sets:
            for converter in converters:
                await converter.aclose()


def _families(settings: Settings, offers: Sequence[Offer]) -> tuple[Family, ...]:
    installed = {offer.family for offer in offers}
    wanted = {name.lower() for name in settings.family_names}
    unknown = wanted - set(Family)
    if unknown:
        raise CannotWork(f"CONVERTO_FAMILIES names {', '.join(sorted(unknown))}; families are {', '.join(Family)}")
    families = tuple(family for family in Family if family in installed and (not wanted or family in wanted))
    if not families:
        raise CannotWork(
            "This machine has no conversion program for "
            f"{', '.join(sorted(wanted)) or 'any family'}: install LibreOffice with python3-uno (office), "
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
