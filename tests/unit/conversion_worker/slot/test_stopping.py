"""A graceful stop finishes or hands back what the slot holds (behaviour M14)."""

import asyncio
from collections.abc import Sequence

import pytest

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.events import ConversionCreated
from converto_core.formats import Family
from tests.unit.conversion_worker.fakes import files_in
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import until


async def test_stopping_slot_finishes_its_work_and_takes_nothing_new(harness: Harness) -> None:
    """Behaviour M14: a graceful stop finishes what it has."""
    gate, record, slot = await harness.start_held()
    following = await harness.request()
    harness.stop.stopping.set()
    gate.open.set()
    await asyncio.wait_for(slot, 5)

    assert (await harness.get(record)).status is Status.COMPLETED
    assert (await harness.get(following)).status is Status.PENDING
    assert harness.bus.waiting(Family.OFFICE, Lane.NORMAL) == 1


async def test_message_that_arrives_while_stopping_is_released(harness: Harness) -> None:
    record = await harness.request()
    pop = harness.bus.pop

    def pop_and_stop(keys: Sequence[tuple[Family, Lane]]) -> ConversionCreated | None:
        harness.stop.stopping.set()
        return pop(keys)

    harness.bus.pop = pop_and_stop  # type: ignore[method-assign]
    slot = await harness.start_slot()
    await asyncio.wait_for(slot, 5)

    assert harness.bus.waiting(Family.OFFICE, Lane.NORMAL) == 1
    assert (await harness.get(record)).token == 0


@pytest.mark.parametrize("turns", range(12))
async def test_no_claim_begins_after_the_stop(harness: Harness, turns: int) -> None:
    """The stop comes so many turns of the event loop after the message."""
    record = await harness.request()
    pop, apply = harness.bus.pop, harness.stores.conversions.apply
    claims = list[bool]()

    async def stop_later() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        harness.stop.stopping.set()

    def pop_and_stop(keys: Sequence[tuple[Family, Lane]]) -> ConversionCreated | None:
        if (event := pop(keys)) is not None:
            harness.tasks.append(asyncio.create_task(stop_later()))
        return event

    async def apply_and_look(change: Change) -> Conversion | None:
        claims.append(harness.stop.stopping.is_set() and change.expected == {Status.PENDING})
        return await apply(change)

    harness.bus.pop = pop_and_stop  # type: ignore[method-assign]
    harness.stores.conversions.apply = apply_and_look  # type: ignore[method-assign]
    await asyncio.wait_for(await harness.start_slot(), 5)

    assert not any(claims)
    assert (await harness.get(record)).status in {Status.PENDING, Status.COMPLETED}


async def test_idle_slot_stops_at_once(harness: Harness) -> None:
    slot = await harness.start_slot()
    harness.stop.stopping.set()
    await asyncio.wait_for(slot, 5)


async def test_end_of_the_grace_period_hands_back_uncharged(harness: Harness) -> None:
    """Behaviour M14: or hands back what it has; the attempt is not charged and the conversion goes to the high lane."""
    _, record, slot = await harness.start_held()
    harness.stop.stopping.set()
    harness.stop.hand_back.set()
    await asyncio.wait_for(slot, 5)
    back = await harness.get(record)

    assert (back.status, back.attempt, back.lost, back.lane) == (Status.PENDING, 0, 0, Lane.HIGH)
    assert back.publish_due is not None
    assert harness.converter.cancelled == 1
    assert files_in(harness.workspace.folder) == []


async def test_hand_back_without_a_database_gives_up_soon(harness: Harness) -> None:
    _, record, slot = await harness.start_held()
    harness.stores.is_away = True
    harness.stop.stopping.set()
    harness.stop.hand_back.set()
    await asyncio.wait_for(slot, 5)
    harness.stores.is_away = False

    assert (await harness.get(record)).status is Status.PROCESSING  # left to the reaper


async def test_cancelled_slot_hands_back_and_passes_the_cancellation_on(harness: Harness) -> None:
    _, record, slot = await harness.start_held()
    slot.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slot

    assert (await harness.get(record)).status is Status.PENDING


async def test_stopping_worker_finishes_a_claim_whose_answer_was_lost(
    harness: Harness,
) -> None:
    """M14: a graceful stop leaves nothing to the reaper."""
    harness.stores.lose_answer_to = lambda change: "worker" in change.assign and change.to is Status.PROCESSING
    record = await harness.request()
    slot = await harness.start_slot()
    await until(lambda: any(change.to is Status.PROCESSING for change, _ in harness.stores.applied))
    harness.stop.stopping.set()
    await asyncio.wait_for(slot, 5)

    done = await harness.get(record)
    assert (done.status, done.token, done.lost) == (Status.COMPLETED, 1, 0)


async def test_stopping_worker_claims_nothing_when_the_database_returns(harness: Harness) -> None:
    record = await harness.request()
    harness.stores.is_away = True
    slot = await harness.start_slot()
    await until(lambda: harness.clock.is_waited_for)
    harness.stores.is_away = False
    harness.stop.stopping.set()
    await asyncio.wait_for(slot, 5)

    assert (await harness.get(record)).status is Status.PENDING
