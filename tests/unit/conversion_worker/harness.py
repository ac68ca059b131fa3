"""The slots of one worker over in-memory servers and a clock that the test controls."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from conversion_worker.app import build_runner
from conversion_worker.job.plan import ConverterSet
from conversion_worker.job.steps import JobRunner
from conversion_worker.job.workspace import Workspace
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.context import Stop, WorkerContext
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.slot.families import TakenFamilies
from conversion_worker.slot.slot import Slot
from conversion_worker.worker_registry import RunningJobs
from converto_core.conversion.processing import claim, worker_lost
from converto_core.conversion.record import Conversion, Status, Step
from converto_core.events import ConversionEvent, conversion_created
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id
from converto_core.object_keys import source_key
from converto_engines.converter import Converter, offers_of
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore
from converto_infra.settings import Settings
from tests.unit.conversion_worker.fakes import FakeConverter, Gate, LossyStores, make_upper_case
from tests.unit.fake_clock import FakeClock, advance_until, until

OWNER = "anna"
SETTINGS = Settings(
    beat_interval_s=5, lease_s=20, max_attempts=3, retry_base_s=10, retry_max_s=60, work_reserve_bytes=0, max_lost=5
)


class Harness:
    """What the slots of one worker need, and shortcuts to request conversions and read their records."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS) -> None:
        self.settings, self.clock = settings, FakeClock()
        self.stores, self.objects, self.bus = LossyStores(), MemoryObjectStore(), MemoryEventBus()
        self.workspace = Workspace(folder, "here-1-abcdef", reserve_bytes=settings.work_reserve_bytes)
        self.running_jobs, self.gate, self.stop = RunningJobs(), ExclusiveGate(), Stop()
        self.families = TakenFamilies([Family.OFFICE])
        self.converter = FakeConverter(make_upper_case)
        self.events: list[ConversionEvent] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def request(
        self, content: bytes = b"words\n", *, plan: tuple[Step, ...] = (Step("fake", "txt", "pdf"),), **fields: Any
    ) -> Conversion:
        """Store an uploaded file and a pending conversion of it, and publish its message."""
        file = await self.upload(content)
        record = Conversion(
            id=new_id(),
            owner=OWNER,
            file_id=file.id,
            filename=file.filename,
            source_format="txt",
            target_format=plan[-1].target_format if plan else "pdf",
            plan=plan,
            family=Family.OFFICE,
            status=Status.PENDING,
            publish_due=self.clock.now_ms(),
            created_at=self.clock.now_ms(),
            updated_at=self.clock.now_ms(),
        )
        record = msgspec.structs.replace(record, **fields)
        await self.stores.conversions.insert(record)
        await self.bus.publish(conversion_created(record))
        return record

    async def upload(self, content: bytes) -> File:
        file_id = new_id()
        file = File(
            id=file_id,
            owner=OWNER,
            filename="notes.txt",
            extension="txt",
            size_bytes=len(content),
            key=source_key(OWNER, file_id, 1),
            status=FileStatus.UPLOADED,
            created_at=self.clock.now_ms(),
            updated_at=self.clock.now_ms(),
        )
        await self.stores.files.insert(file)
        await self.objects.put(file.key, content, content_type="text/plain")
        return file

    async def start_slot(self, *converters: Converter, takes_quarantine: bool = False) -> asyncio.Task[None]:
        """Start one slot with these converters (default: `self.converter`)."""
        return self._run_slot(await self.runner(converters), takes_quarantine=takes_quarantine)

    def start(self, named: ConverterSet) -> asyncio.Task[None]:
        """Start one slot with a set of converters that the test may change."""
        runner = build_runner(
            self.context(), named, files=self.stores.files, cache=self.stores.cache, workers=self.stores.workers
        )
        return self._run_slot(runner, takes_quarantine=False)

    def _run_slot(self, runner: JobRunner, *, takes_quarantine: bool) -> asyncio.Task[None]:
        task = asyncio.create_task(Slot(self.context(), runner, takes_quarantine=takes_quarantine).run())
        self.tasks.append(task)
        return task

    async def publish(self, record: Conversion) -> None:
        """Send the message of a pending conversion, as the outbox does when it is due."""
        await self.bus.publish(conversion_created(record))

    def context(self) -> WorkerContext:
        return WorkerContext(
            worker_id="here-1-abcdef",
            families=self.families,
            conversions=self.stores.conversions,
            objects=self.objects,
            bus=self.bus,
            waiters=Waiters(
                conversions=self.stores.conversions, cache=self.stores.cache, bus=self.bus, clock=self.clock
            ),
            workspace=self.workspace,
            running_jobs=self.running_jobs,
            gate=self.gate,
            stop=self.stop,
            settings=self.settings,
            clock=self.clock,
        )

    async def runner(self, converters: Sequence[Converter] = ()) -> JobRunner:
        chosen = converters or (self.converter,)
        offers = {offer.converter: offer for offer in await offers_of(chosen)}
        named = ConverterSet({converter.name: converter for converter in chosen}, offers)
        return build_runner(
            self.context(), named, files=self.stores.files, cache=self.stores.cache, workers=self.stores.workers
        )

    async def start_held(self, **fields: Any) -> tuple[Gate, Conversion, asyncio.Task[None]]:
        """Start a slot and a conversion whose engine runs until the returned gate is opened."""
        gate = Gate()
        self.converter.behaviour = gate
        record = await self.request(**fields)
        slot = await self.start_slot()
        await gate.reached.wait()
        return gate, record, slot

    async def lose_to_another_worker(self, record: Conversion) -> Conversion:
        """Reap the conversion and let another worker claim it; return its record."""
        reaped = await self.stores.conversions.apply(worker_lost(await self.get(record), now_ms=1))
        assert reaped is not None
        other = await self.stores.conversions.apply(claim(record.id, token=reaped.token, worker="other", now_ms=2))
        assert other is not None
        return other

    async def advance_to(self, status: Status, *, step_s: float = 0.5) -> None:
        """Advance the clock until an event with this status was published."""
        await advance_until(self.clock, lambda: any(event.status is status for event in self.events), step_s=step_s)

    async def get(self, record: Conversion) -> Conversion:
        found = await self.stores.conversions.get(record.id)
        assert found is not None
        return found

    async def wait_for(self, record: Conversion, status: Status) -> Conversion:
        """Wait until the conversion was claimed since `record`, has this status and is held by no slot any more."""

        async def reached() -> bool:
            now = await self.get(record)
            return now.status is status and now.token > record.token and not self.running_jobs.running

        await until(reached)
        return await self.get(record)

    async def listen(self) -> None:
        async with self.bus.subscribe() as events:
            async for event in events:
                self.events.append(event)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.workspace.close()
