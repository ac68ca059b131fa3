"""The lease: percent that only grows, few writes, and the moments at which work has to stop."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from conversion_worker.slot.lease import Ending, Lease, LeaseEnded
from converto_core.conversion.processing import claim, worker_lost
from converto_core.conversion.record import Conversion, Status
from converto_core.ids import new_id
from converto_infra.memory.stores import MemoryEventBus
from tests.unit.conversion_worker.fakes import LossyStores
from tests.unit.conversion_worker.harness import SETTINGS
from tests.unit.fake_clock import FakeClock, advance_until, until


class Held:
    """One claimed conversion under a lease, with work that ends when the test wants it to."""

    def __init__(self) -> None:
        self.clock, self.stores, self.bus = FakeClock(), LossyStores(), MemoryEventBus()
        self.done, self.hand_back = asyncio.Event(), asyncio.Event()
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
            hand_back=self.hand_back,
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


async def test_answer_is_returned_and_beating_stops(held: Held) -> None:
    await held.begin()
    answer = await held.end()
    beats = held.beats()
    held.clock.advance(60)

    assert answer == "made"
    assert held.beats() == beats


async def test_error_of_the_work_is_raised(held: Held) -> None:
    async def failing() -> None:
        raise ValueError("the program is broken")

    lease = await held.begin()
    await held.end()
    with pytest.raises(ValueError, match="the program is broken"):
        await lease.hold(failing())


async def test_percent_only_grows(held: Held) -> None:
    lease = await held.begin()
    seen = []
    for percent, stage in ((40.0, "page 4"), (20.0, "page 2"), (None, "thinking"), (70.0, "page 7")):
        beats = held.beats()
        lease.report(percent, stage)
        await advance_until(held.clock, lambda beats=beats: held.beats() > beats)  # type: ignore[misc]
        _, record = held.stores.applied[-1]
        assert record is not None
        seen.append((record.percent, record.stage))
    await held.end()

    assert seen == [(40.0, "page 4"), (40.0, "page 2"), (40.0, "thinking"), (70.0, "page 7")]


async def test_larger_percent_of_two_reports_is_written(held: Held) -> None:
    lease = await held.begin()
    lease.report(40.0, "page 4")
    lease.report(20.0, "page 2")
    await advance_until(held.clock, lambda: held.beats() >= 1)
    written, _ = held.stores.applied[-1]
    await held.end()

    assert written.raise_to == {"percent": 40.0}


async def test_frequent_reports_are_written_once_a_second(held: Held) -> None:
    lease = await held.begin()
    started = held.clock.monotonic()

    def busy() -> bool:
        lease.report(50.0, "busy")
        return held.clock.monotonic() >= started + 10

    await advance_until(held.clock, busy, step_s=0.1)
    await held.end()

    assert 5 <= held.beats() <= 11


async def test_silent_work_beats_within_the_interval(held: Held) -> None:
    lease = await held.begin()
    started = held.clock.monotonic()
    await advance_until(held.clock, lambda: held.clock.monotonic() >= started + 30, step_s=0.25)
    await held.end()

    assert 6 <= held.beats() <= 8
    assert lease.record.beat == held.beats() + 1


async def test_beat_publishes_an_event(held: Held) -> None:
    async with held.bus.subscribe() as events:
        lease = await held.begin()
        lease.report(12.0, "opening")
        await advance_until(held.clock, lambda: held.beats() >= 1)
        event = await anext(aiter(events))
        await held.end()

    assert (event.percent, event.stage, event.status) == (12.0, "opening", Status.PROCESSING)


async def test_work_survives_a_lost_beat(held: Held) -> None:
    await held.begin()
    held.stores.is_away = True
    held.clock.advance(6)
    await advance_until(held.clock, lambda: held.clock.monotonic() >= 1010)
    held.stores.is_away = False
    await advance_until(held.clock, lambda: held.beats() >= 1)

    assert await held.end() == "made"


async def test_unconfirmed_beats_end_the_lease_in_time(held: Held) -> None:
    await held.begin()
    held.stores.is_away = True
    await advance_until(held.clock, held.held.done, step_s=0.25)

    with pytest.raises(LeaseEnded) as ended:
        held.held.result()
    assert ended.value.ending is Ending.OUT_OF_TOUCH
    assert held.clock.monotonic() - 1000 < SETTINGS.lease_s


async def test_refused_beat_ends_the_lease_at_once(held: Held) -> None:
    """The conversion is another worker's: each second more is one in which two programs run."""
    lease = await held.begin()
    await held.stores.conversions.apply(worker_lost(lease.record, now_ms=0))
    await advance_until(held.clock, held.held.done, step_s=0.1)

    with pytest.raises(LeaseEnded) as ended:
        held.held.result()
    assert ended.value.ending is Ending.FENCED
    assert held.clock.monotonic() - 1000 <= SETTINGS.beat_interval_s + 0.5


async def test_lease_counts_from_the_request_of_a_slow_beat(held: Held) -> None:
    """The database may have applied the beat long before its answer came, and a reaper counts from then."""
    await held.begin()
    await until(lambda: held.clock.is_waited_for)
    held.stores.hold()
    held.clock.advance(SETTINGS.beat_interval_s)
    await advance_until(held.clock, lambda: held.stores.waiting == 1, step_s=0.1)
    sent_at = held.clock.monotonic()
    held.clock.advance(8)
    held.stores.resume()
    await until(lambda: held.beats() == 1)
    held.stores.is_away = True
    await advance_until(held.clock, held.held.done, step_s=0.25)

    assert held.clock.monotonic() - sent_at < SETTINGS.lease_s


async def test_process_stopped_beyond_the_lease_ends_it(held: Held) -> None:
    """A process that continues after SIGSTOP must not assume that it still holds its lease."""
    await held.begin()
    await until(lambda: held.clock.is_waited_for)
    held.stores.is_away = True
    held.clock.advance(3600)
    await until(held.held.done)

    with pytest.raises(LeaseEnded):
        held.held.result()


async def test_error_during_clean_up_does_not_hide_the_lease(held: Held) -> None:
    lease = await held.begin()
    await held.end()

    async def untidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    holding = asyncio.create_task(lease.hold(untidy()))
    await asyncio.sleep(0)
    held.hand_back.set()
    with pytest.raises(LeaseEnded):
        await holding


async def test_cancellation_passes_through(held: Held) -> None:
    await held.begin()
    await asyncio.sleep(0)
    held.held.cancel()

    with pytest.raises(asyncio.CancelledError):
        await held.held
