"""The lease: percent that only grows, few writes, and the moments at which work has to stop."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from conversion_worker.slot.lease import Ending, Lease, LeaseEnded, spans
from converto_core.conversion.processing import claim
from converto_core.conversion.record import Conversion, Status
from converto_core.ids import new_id
from converto_infra.memory.stores import MemoryEventBus
from tests.unit.conversion_worker.conftest import SETTINGS
from tests.unit.conversion_worker.fakes import FakeClock, LossyStores, passing, until


class Held:
    """One claimed conversion under a lease, with work that ends when the test says so."""

    def __init__(self) -> None:
        self.clock, self.stores, self.bus = FakeClock(), LossyStores(), MemoryEventBus()
        self.done, self.give_back = asyncio.Event(), asyncio.Event()
        self.percents: list[float] = []

    async def begin(self, before: Callable[[Lease], None] = lambda lease: None) -> Lease:
        record = Conversion(
            id=new_id(),
            owner="anna",
            file_id="f",
            target_format="pdf",
            created_at=0,
            updated_at=0,
            status=Status.PENDING,
        )
        await self.stores.conversions.insert(record)
        claimed = await self.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=0))
        assert claimed is not None
        self.lease = Lease(
            claimed,
            store=self.stores.conversions,
            bus=self.bus,
            settings=SETTINGS,
            clock=self.clock,
            give_back=self.give_back,
        )
        self.held = asyncio.create_task(self.lease.hold(self.work()))
        return self.lease

    async def work(self) -> str:
        await self.done.wait()
        return "made"

    def beats(self) -> int:
        return len(self.stores.applied) - 1

    async def end(self) -> Any:
        self.done.set()
        return await asyncio.wait_for(self.held, 5)


@pytest.fixture
def held() -> Held:
    return Held()


async def test_lease_when_the_work_ends_then_its_answer_is_returned_and_beating_stops(held: Held) -> None:
    await held.begin()
    answer = await held.end()
    beats = held.beats()
    held.clock.advance(60)

    assert answer == "made"
    assert held.beats() == beats


async def test_lease_when_the_work_raises_then_that_very_error_is_raised(held: Held) -> None:
    async def failing() -> None:
        raise ValueError("the program is broken")

    lease = await held.begin()
    await held.end()
    with pytest.raises(ValueError, match="the program is broken"):
        await lease.hold(failing())


async def test_lease_when_progress_is_reported_backwards_then_percent_only_grows(held: Held) -> None:
    lease = await held.begin()
    seen = []
    for percent, stage in ((40.0, "page 4"), (20.0, "page 2"), (None, "thinking"), (70.0, "page 7")):
        beats = held.beats()
        lease.report(percent, stage)
        await passing(held.clock, lambda beats=beats: held.beats() > beats)  # type: ignore[misc]
        _, record = held.stores.applied[-1]
        assert record is not None
        seen.append((record.percent, record.stage))
    await held.end()

    assert seen == [(40.0, "page 4"), (40.0, "page 2"), (40.0, "thinking"), (70.0, "page 7")]


async def test_lease_when_two_reports_come_before_one_write_then_the_larger_percent_is_written(held: Held) -> None:
    lease = await held.begin()
    lease.report(40.0, "page 4")
    lease.report(20.0, "page 2")
    await passing(held.clock, lambda: held.beats() >= 1)
    written, _ = held.stores.applied[-1]
    await held.end()

    assert written.raise_to == {"percent": 40.0}


async def test_lease_when_a_program_reports_all_the_time_then_it_writes_once_a_second(held: Held) -> None:
    lease = await held.begin()
    started = held.clock.monotonic()

    def busy() -> bool:
        lease.report(50.0, "busy")
        return held.clock.monotonic() >= started + 10

    await passing(held.clock, busy, step_s=0.05)
    await held.end()

    assert 5 <= held.beats() <= 11


async def test_lease_when_nothing_is_reported_then_it_beats_within_the_interval(held: Held) -> None:
    lease = await held.begin()
    started = held.clock.monotonic()
    await passing(held.clock, lambda: held.clock.monotonic() >= started + 30, step_s=0.25)
    await held.end()

    assert 6 <= held.beats() <= 8
    assert lease.record.beat == held.beats() + 1


async def test_lease_when_it_beats_then_listeners_are_told(held: Held) -> None:
    async with held.bus.subscribe() as facts:
        lease = await held.begin()
        lease.report(12.0, "opening")
        await passing(held.clock, lambda: held.beats() >= 1)
        told = await anext(aiter(facts))
        await held.end()

    assert (told.percent, told.stage, told.status) == (12.0, "opening", Status.PROCESSING)


async def test_lease_when_one_beat_is_lost_then_work_goes_on(held: Held) -> None:
    await held.begin()
    held.stores.is_away = True
    held.clock.advance(6)
    await passing(held.clock, lambda: held.clock.monotonic() >= 1010)
    held.stores.is_away = False
    await passing(held.clock, lambda: held.beats() >= 1)

    assert await held.end() == "made"


async def test_lease_when_no_beat_is_confirmed_in_time_then_it_ends(held: Held) -> None:
    await held.begin()
    held.stores.is_away = True
    await passing(held.clock, held.held.done, step_s=0.25)

    with pytest.raises(LeaseEnded) as ended:
        held.held.result()
    assert ended.value.ending is Ending.OUT_OF_TOUCH
    assert held.clock.monotonic() - 1000 < SETTINGS.lease_s


async def test_lease_when_the_process_stood_still_beyond_the_lease_then_it_ends(held: Held) -> None:
    """A stopped process that goes on must not believe that it still holds anything."""
    await held.begin()
    await until(lambda: held.clock.is_waited_for)
    held.stores.is_away = True
    held.clock.advance(3600)
    await until(held.held.done)

    with pytest.raises(LeaseEnded):
        held.held.result()


async def test_lease_when_the_work_raises_on_its_way_out_then_the_lease_is_the_reason(held: Held) -> None:
    lease = await held.begin()
    await held.end()

    async def untidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    holding = asyncio.create_task(lease.hold(untidy()))
    await asyncio.sleep(0)
    held.give_back.set()
    with pytest.raises(LeaseEnded):
        await holding


async def test_lease_when_it_is_cancelled_from_outside_then_the_cancellation_goes_on(held: Held) -> None:
    await held.begin()
    await asyncio.sleep(0)
    held.held.cancel()

    with pytest.raises(asyncio.CancelledError):
        await held.held


def test_spans_when_weighted_then_they_share_the_way_without_gaps() -> None:
    first, second = spans([3.0, 1.0], start=10, end=90)

    assert (first.start, first.end, second.start, second.end) == (10, 70, 70, 90)
    assert first.at(50) == 40
    assert second.at(None) is None
    assert second.at(250) == 90
