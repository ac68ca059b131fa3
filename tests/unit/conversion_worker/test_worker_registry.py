"""The worker's record: fresh while it runs, and what stays when it ends."""

import asyncio
from typing import Any

import msgspec

from conversion_worker.slot.context import Stop
from conversion_worker.worker_registry import RunningJobs, WorkerRegistry
from converto_core.catalogue import Offer, Worker
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


class Desk:
    """A register over a memory store."""

    def __init__(self) -> None:
        self.clock, self.stores, self.board, self.stop = FakeClock(), MemoryStores(), RunningJobs(), Stop()
        self.puts: list[Worker] = []
        put = self.stores.workers.put

        async def noting(worker: Worker) -> None:
            await put(worker)
            self.puts.append(worker)

        self.stores.workers.put = noting  # type: ignore[method-assign]
        self.register = WorkerRegistry(
            worker("mine", self.clock, "office"),
            store=self.stores.workers,
            running_jobs=self.board,
            clock=self.clock,
            stopping=self.stop.stopping,
        )

    async def known(self) -> dict[str, Worker]:
        return {one.id: one for one in await self.stores.workers.seen_since(0)}


def running(conversion_id: str) -> Conversion:
    fields: dict[str, Any] = {"owner": "anna", "file_id": "f", "target_format": "pdf", "created_at": 0, "updated_at": 0}
    return Conversion(id=conversion_id, status=Status.PROCESSING, started_at=7, **fields)


async def test_record_is_fresh_and_lists_running_conversions() -> None:
    """Behaviour M15."""
    desk = Desk()
    task = asyncio.create_task(desk.register.run())
    await advance_until(desk.clock, lambda: len(desk.puts) >= 1)
    desk.board.reserve("c1")
    desk.board.start(running("c1"))
    await advance_until(desk.clock, lambda: bool(desk.puts[-1].running), step_s=0.1)
    desk.board.release("c1")
    await advance_until(desk.clock, lambda: not desk.puts[-1].running, step_s=0.1)
    shown = desk.puts[-2]
    started = desk.clock.monotonic()
    count = len(desk.puts)
    await advance_until(desk.clock, lambda: len(desk.puts) > count)
    task.cancel()

    assert [(slot.conversion_id, slot.started_at) for slot in shown.running] == [("c1", 7)]
    assert desk.clock.monotonic() - started <= 6
    assert desk.puts[-1].seen_at > desk.puts[0].seen_at


async def test_record_is_written_when_the_database_returns() -> None:
    desk = Desk()
    desk.stores.is_away = True
    task = asyncio.create_task(desk.register.run())
    await advance_until(desk.clock, lambda: desk.clock.monotonic() > 1020)
    desk.stores.is_away = False
    await advance_until(desk.clock, lambda: bool(desk.puts))
    task.cancel()

    assert "mine" in await desk.known()


async def test_worker_whose_offers_others_have_removes_its_record() -> None:
    desk = Desk()
    await desk.stores.workers.put(worker("mine", desk.clock, "office"))
    await desk.stores.workers.put(worker("other", desk.clock, "office", "pdf"))
    await desk.register.deregister()

    assert set(await desk.known()) == {"other"}


async def test_last_worker_keeps_its_offers_and_is_marked_stopping() -> None:
    """Scaling to zero must not make formats vanish."""
    desk = Desk()
    stopped = msgspec.structs.replace(worker("other", desk.clock, "office"), is_stopping=True)
    await desk.stores.workers.put(stopped)
    desk.stop.stopping.set()
    await desk.register.deregister()
    mine = (await desk.known())["mine"]

    assert mine.is_stopping
    assert [one.converter for one in mine.offers] == ["office"]


def test_reserved_conversion_is_refused_to_other_slots() -> None:
    board = RunningJobs()

    assert board.reserve("c1")
    assert not board.reserve("c1")
    board.release("c1")
    assert board.reserve("c1")
