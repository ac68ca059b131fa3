"""A worker as a process that a test can freeze, kill and cut off.

It runs the production code, with its files on a real disk. Only the program is scripted: an engine does what the test
orders, and then makes real outputs of the real source.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from conversion_worker.app import build_runner
from conversion_worker.job.plan import ConverterSet
from conversion_worker.job.results import JobResult
from conversion_worker.job.steps import JobRunner
from conversion_worker.job.workspace import Workspace
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.context import Stop, WorkerContext
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.slot.families import TakenFamilies
from conversion_worker.slot.slot import Slot
from conversion_worker.worker_registry import RunningJobs
from converto_core.catalogue import Offer
from converto_core.conversion.record import Conversion, Lane
from converto_core.errors import CorruptSource, EngineError
from converto_core.formats import Family
from converto_engines.converter import Job, NoOptions, Product, Report
from tests.unit.model.checks.reference_model import WORKER
from tests.unit.model.processes import Process, Servers
from tests.unit.model.requests import made_of

GRACE_S = 3.0  # between the two requests to a worker to stop
OFFER = Offer(
    converter="scripted",
    engine="scripted",
    engine_version="1",
    family=Family.OFFICE,
    sources=("txt",),
    targets=("pdf",),
    options_schema={"type": "object"},
)


class Engine:
    """One run of the program on one conversion."""

    def __init__(self, claimed: Conversion, source: bytes) -> None:
        self.claimed, self.source = claimed, source
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
        self.disk = Disk(servers.folder, name, reserve_bytes=0)
        self.disk.folder.mkdir()
        context = WorkerContext(
            worker_id=name,
            families=TakenFamilies(Family),
            conversions=self.stores.conversions,
            objects=self.objects,
            bus=self.bus,
            waiters=Waiters(
                conversions=self.stores.conversions, cache=self.stores.cache, bus=self.bus, clock=self.clock
            ),
            workspace=self.disk,
            running_jobs=RunningJobs(),
            gate=ExclusiveGate(),
            stop=self.stop,
            settings=servers.settings,
            clock=self.clock,
        )
        running = [self.spawn(self._slot(context, number).run()) for number in range(slots)]
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

    def at_rest(self) -> None:
        """Check that a quarantined conversion runs alone in its worker."""
        has_quarantined = any(engine.claimed.lane is Lane.QUARANTINE for engine in self.engines)
        if has_quarantined and len(self.engines) > 1:
            self.servers.violations.append(f"{self.name} runs a quarantined conversion next to others")

    def _slot(self, context: WorkerContext, number: int) -> Slot:
        converter = ScriptedConverter(self)
        runner = build_runner(
            context,
            ConverterSet(converters={converter.name: converter}, offers={converter.name: OFFER}),
            files=self.stores.files,
            cache=self.stores.cache,
            workers=self.stores.workers,
        )
        return Slot(context, _Watched(runner, converter), takes_quarantine=number == 0)

    async def _live(self, running: list[asyncio.Task[Any]], on_end: Callable[["Worker"], None]) -> None:
        await asyncio.wait(running)
        on_end(self)


class ScriptedConverter:
    """A converter whose program waits for the orders of the test."""

    name, engine, family = OFFER.converter, OFFER.engine, OFFER.family
    sources, targets = OFFER.sources, OFFER.targets
    options: type[msgspec.Struct] = NoOptions
    loss, seconds, is_paged = 0.0, 1.0, False
    losses = ()

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.claimed: Conversion | None = None

    async def version(self) -> str | None:
        return OFFER.engine_version

    async def aclose(self) -> None:
        """Nothing is kept running."""

    async def convert(self, job: Job) -> list[Product]:
        assert self.claimed is not None
        source, started_s = job.source.read_bytes(), self._worker.clock.monotonic()
        engine = Engine(self.claimed, source)
        self._worker.engines.append(engine)
        try:
            if self._worker.succeeds_always:
                engine.finish()
            await self._obey(engine, job.report)
        except asyncio.CancelledError:
            if self._worker.clock.monotonic() - started_s >= job.limits.wall_s:
                self._worker.servers.facts.hung.add(source)
            raise
        finally:
            self._worker.engines.remove(engine)
        return _written(job.folder, made_of(source))

    async def _obey(self, engine: Engine, report: Report) -> None:
        while (order := await engine.orders.get()) is not None:
            await self._worker.awake()
            if isinstance(order, CorruptSource):
                self._worker.servers.facts.corrupt.add(engine.source)
            if isinstance(order, Exception):
                raise order
            report(order, "converting")


class _Watched(JobRunner):
    """The shipped runner of one slot; tells the converter which conversion it runs for."""

    def __init__(self, runner: JobRunner, converter: ScriptedConverter) -> None:
        self._runner, self._converter = runner, converter

    async def run(self, claimed: Conversion, folder: Path, report: Report) -> JobResult:
        self._converter.claimed = claimed
        return await self._runner.run(claimed, folder, report)


class Disk(Workspace):
    """The folder of one worker, on a disk that is full when the test says so."""

    is_full = False

    def has_room(self, needed_bytes: int = 0) -> bool:
        del needed_bytes
        return not self.is_full


def crash() -> EngineError:
    """An engine failure that a retry may overcome."""
    return EngineError("The program crashed", code="engine_crashed")


def _written(folder: Path, bodies: tuple[bytes, ...]) -> list[Product]:
    products = []
    for number, body in enumerate(bodies, start=1):
        path = folder / f"made-{number}.pdf"
        path.write_bytes(body)
        products.append(Product(path=path, page=number if len(bodies) > 1 else None))
    return products
