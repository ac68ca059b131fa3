"""The worker's record: fresh while it runs, and what stays when it ends."""

import asyncio
from typing import Any

import msgspec
import pytest

from conversion_worker.engines import InstalledEngines
from conversion_worker.slot.context import Stop
from conversion_worker.worker_registry import RunningJobs, WorkerRegistry
from converto_core.catalogue import NotAnswering, Offer, Worker
from converto_core.conversion.record import Conversion, Status
from converto_core.formats import Family
from converto_infra.memory.stores import MemoryStores
from tests.unit.fake_clock import FakeClock, advance_until


def offer(converter: str) -> Offer:
    return Offer(
        converter=converter,
        engine=converter,
        engine_version="1",
        family=Family.OFFICE,
        sources=("txt",),
        targets=("pdf",),
        options_schema={},
    )


def worker(worker_id: str, clock: FakeClock, *converters: str) -> Worker:
    return Worker(
        id=worker_id,
        host="here",
        pid=1,
        started_at=clock.now_ms(),
        seen_at=clock.now_ms(),
        slots=1,
        sandbox="bubblewrap",
        offers=tuple(offer(converter) for converter in converters),
    )


class Registered:
    """A worker registry over an in-memory store."""

    def __init__(self) -> None:
        self.clock, self.stores, self.running_jobs, self.stop = FakeClock(), MemoryStores(), RunningJobs(), Stop()
        self.puts: list[Worker] = []
        put = self.stores.workers.put

        async def put_and_record(worker: Worker) -> None:
            await put(worker)
            self.puts.append(worker)

        self.stores.workers.put = put_and_record  # type: ignore[method-assign]
        self.installed = InstalledEngines((offer("office"),))
        self.registry = WorkerRegistry(
            worker("mine", self.clock),
            store=self.stores.workers,
            running_jobs=self.running_jobs,
            clock=self.clock,
            stopping=self.stop.stopping,
            installed=lambda: self.installed,
        )

    async def known(self) -> dict[str, Worker]:
        return {one.id: one for one in await self.stores.workers.seen_since(0)}


def running(conversion_id: str) -> Conversion:
    fields: dict[str, Any] = {"owner": "anna", "file_id": "f", "target_format": "pdf", "created_at": 0, "updated_at": 0}
    return Conversion(id=conversion_id, status=Status.PROCESSING, started_at=7, **fields)


async def test_record_is_fresh_and_lists_running_conversions() -> None:
    """Behaviour M15."""
    registered = Registered()
    task = asyncio.create_task(registered.registry.run())
    await advance_until(registered.clock, lambda: len(registered.puts) >= 1)
    registered.running_jobs.reserve("c1")
    registered.running_jobs.start(running("c1"))
    await advance_until(registered.clock, lambda: bool(registered.puts[-1].running), step_s=0.1)
    registered.running_jobs.release("c1")
    await advance_until(registered.clock, lambda: not registered.puts[-1].running, step_s=0.1)
    shown = registered.puts[-2]
    started = registered.clock.monotonic()
    count = len(registered.puts)
    await advance_until(registered.clock, lambda: len(registered.puts) > count)
    task.cancel()

    assert [(slot.conversion_id, slot.started_at) for slot in shown.running] == [("c1", 7)]
    assert registered.clock.monotonic() - started <= 6
    assert registered.puts[-1].seen_at > registered.puts[0].seen_at


async def test_record_is_written_when_the_database_returns() -> None:
    registered = Registered()
    registered.stores.is_away = True
    task = asyncio.create_task(registered.registry.run())
    await advance_until(registered.clock, lambda: registered.clock.monotonic() > 1020)
    registered.stores.is_away = False
    await advance_until(registered.clock, lambda: bool(registered.puts))
    task.cancel()

    assert "mine" in await registered.known()


async def test_worker_whose_offers_others_have_removes_its_record() -> None:
    registered = Registered()
    await registered.stores.workers.put(worker("mine", registered.clock, "office"))
    await registered.stores.workers.put(worker("other", registered.clock, "office", "pdf"))
    await registered.registry.deregister()

    assert set(await registered.known()) == {"other"}


async def test_last_worker_keeps_its_offers_and_is_marked_stopping() -> None:
    """Scaling to zero must not make formats vanish."""
    registered = Registered()
    stopped = msgspec.structs.replace(worker("other", registered.clock, "office"), is_stopping=True)
    await registered.stores.workers.put(stopped)
    registered.stop.stopping.set()
    await registered.registry.deregister()
    record = (await registered.known())["mine"]

    assert record.is_stopping
    assert [one.converter for one in record.offers] == ["office"]


def silence(converter: str) -> NotAnswering:
    without_version = msgspec.structs.replace(offer(converter), engine_version="")
    return NotAnswering(offer=without_version, since=1, error="no answer within 60 s")


async def test_record_follows_what_is_installed() -> None:
    registered = Registered()
    registered.installed = InstalledEngines((offer("office"),), (silence("video"),), ("f3d",))
    task = asyncio.create_task(registered.registry.run())
    await advance_until(registered.clock, lambda: len(registered.puts) >= 1)
    started = registered.clock.monotonic()
    registered.installed = InstalledEngines((offer("office"), offer("video")), (), ("f3d",))
    registered.registry.note_change()
    await advance_until(registered.clock, lambda: len(registered.puts) >= 2, step_s=0.1)
    task.cancel()
    before, after = registered.puts[:2]

    assert [one.converter for one in before.offers] == ["office"]
    assert [one.offer.converter for one in before.not_answering] == ["video"]
    assert before.not_installed == ("f3d",)
    assert [one.converter for one in after.offers] == ["office", "video"]
    assert after.not_answering == ()
    assert registered.clock.monotonic() - started <= 1


@pytest.mark.parametrize(
    ("offered", "silent", "left"),
    [
        (("office",), (), set()),
        (("office", "video"), (), set()),
        (("office",), ("video",), set()),
        ((), ("office", "video"), {"mine"}),
    ],
)
async def test_record_goes_only_when_others_offer_all(
    offered: tuple[str, ...], silent: tuple[str, ...], left: set[str]
) -> None:
    """What is silent here has to be known elsewhere; what answers here has to answer elsewhere."""
    registered = Registered()
    registered.installed = InstalledEngines((offer("office"),), (silence("video"),) if "video" in silent else ())
    other = worker("other", registered.clock, *offered)
    await registered.stores.workers.put(
        msgspec.structs.replace(other, not_answering=tuple(silence(name) for name in silent))
    )
    await registered.registry.deregister()

    assert set(await registered.known()) - {"other"} == left


async def test_last_worker_keeps_what_did_not_answer() -> None:
    registered = Registered()
    registered.installed = InstalledEngines((offer("office"),), (silence("video"),))
    await registered.stores.workers.put(worker("other", registered.clock, "office"))
    await registered.registry.deregister()

    assert [one.offer.converter for one in (await registered.known())["mine"].not_answering] == ["video"]


def test_reserved_conversion_is_refused_to_other_slots() -> None:
    running_jobs = RunningJobs()

    assert running_jobs.reserve("c1")
    assert not running_jobs.reserve("c1")
    running_jobs.release("c1")
    assert running_jobs.reserve("c1")
