"""One worker slot over memory twins, with time in the test's hand."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from conversion_worker.job.results import Results
from conversion_worker.job.source import Sources
from conversion_worker.job.steps import Engines, JobRunner
from conversion_worker.job.workspace import Workspace
from conversion_worker.single_flight.single_flight import SingleFlight
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.consumer import Slot, Stop, WorkerContext
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.worker_registry import RunningJobs
from converto_core.conversion.record import Conversion, Status, Step
from converto_core.events import ConversionEvent, conversion_created
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id
from converto_core.object_keys import source_key
from converto_engines.converter import Converter, offers_of
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore
from converto_infra.settings import Settings
from tests.unit.conversion_worker.fakes import FakeClock, FakeConverter, LossyStores, make_upper_case, until

OWNER = "anna"
SETTINGS = Settings(
    beat_interval_s=5, lease_s=20, max_attempts=3, retry_base_s=10, retry_max_s=60, work_reserve_bytes=0, max_lost=5
)


class House:
    """Everything around the slots of one worker, and shortcuts to ask for conversions and look at them."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS) -> None:
        self.settings, self.clock = settings, FakeClock()
        self.stores, self.objects, self.bus = LossyStores(), MemoryObjectStore(), MemoryEventBus()
        self.workspace = Workspace(folder, "here-1-abcdef", reserve_bytes=settings.work_reserve_bytes)
        self.board, self.company, self.stop = RunningJobs(), ExclusiveGate(), Stop()
        self.converter = FakeConverter(make_upper_case)
        self.facts: list[ConversionEvent] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def request(
        self, content: bytes = b"words\n", *, plan: tuple[Step, ...] = (Step("fake", "txt", "pdf"),), **fields: Any
    ) -> Conversion:
        """An uploaded file and a pending conversion of it, whose wake-up has left."""
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

    async def open_slot(self, *converters: Converter, takes_quarantine: bool = False) -> asyncio.Task[None]:
        """Start one slot with these converters (default: `self.converter`)."""
        slot = Slot(self.surroundings(), await self.runner(converters), takes_quarantine=takes_quarantine)
        task = asyncio.create_task(slot.run())
        self.tasks.append(task)
        return task

    def surroundings(self) -> WorkerContext:
        return WorkerContext(
            worker_id="here-1-abcdef",
            families=(Family.OFFICE,),
            conversions=self.stores.conversions,
            objects=self.objects,
            bus=self.bus,
            followers=Waiters(
                conversions=self.stores.conversions, cache=self.stores.cache, bus=self.bus, clock=self.clock
            ),
            workspace=self.workspace,
            board=self.board,
            company=self.company,
            stop=self.stop,
            settings=self.settings,
            clock=self.clock,
        )

    async def runner(self, converters: Sequence[Converter] = ()) -> JobRunner:
        chosen = converters or (self.converter,)
        offers = {offer.converter: offer for offer in await offers_of(chosen)}
        results = Results(self.objects)
        return JobRunner(
            sources=Sources(
                conversions=self.stores.conversions,
                files=self.stores.files,
                objects=self.objects,
                workspace=self.workspace,
                clock=self.clock,
            ),
            sharing=SingleFlight(
                cache=self.stores.cache,
                conversions=self.stores.conversions,
                results=results,
                settings=self.settings,
                clock=self.clock,
            ),
            results=results,
            equipment=Engines({converter.name: converter for converter in chosen}, offers),
            settings=self.settings,
            clock=self.clock,
        )

    async def look(self, record: Conversion) -> Conversion:
        found = await self.stores.conversions.get(record.id)
        assert found is not None
        return found

    async def reach(self, record: Conversion, status: Status) -> Conversion:
        """Wait until the conversion was claimed since `record`, has this status and is held by no slot any more."""

        async def reached() -> bool:
            now = await self.look(record)
            return now.status is status and now.token > record.token and not self.board.running

        await until(reached)
        return await self.look(record)

    async def listen(self) -> None:
        async with self.bus.subscribe() as facts:
            async for fact in facts:
                self.facts.append(fact)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.workspace.close()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What was logged, instead of a terminal full of tracebacks that a test provoked."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    one = House(tmp_path / "work")
    one.workspace.open()
    one.tasks.append(asyncio.create_task(one.listen()))
    yield one
    await one.close()
