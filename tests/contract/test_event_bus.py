"""What both twins of `EventBus` promise."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from converto_core.conversion.record import Lane
from converto_core.events import ConversionEvent
from converto_core.formats import Family
from converto_core.ports.bus import Consumer, Delivery, EventBus
from tests.contract.samples import a_message, an_event

FAMILIES = (Family.OFFICE, Family.PDF)
SOON_S = 10.0


async def next_of(slot: Consumer) -> Delivery:
    return await asyncio.wait_for(slot.next(), SOON_S)


async def take(slot: Consumer) -> str:
    wakeup = await next_of(slot)
    await wakeup.accept()
    return wakeup.event.id


async def test_wakeup_when_published_then_arrives_whole(bus: EventBus) -> None:
    """C4: what the worker gets is what was published."""
    event = a_message("one", family=Family.PDF, token=7)
    await bus.publish(event)

    async with bus.open_slot(FAMILIES) as slot:
        wakeup = await next_of(slot)
        await wakeup.accept()

    assert wakeup.event == event


async def test_slot_when_nothing_is_there_then_waits_until_something_is(bus: EventBus) -> None:
    async with bus.open_slot(FAMILIES) as slot:
        for number in range(3):
            waiting = asyncio.create_task(next_of(slot))
            done, _ = await asyncio.wait({waiting}, timeout=0.3)
            assert not done
            await bus.publish(a_message(str(number), family=FAMILIES[number % 2]))
            wakeup = await waiting
            await wakeup.accept()
            assert wakeup.event.id == str(number)


async def test_lanes_when_all_have_work_then_high_before_normal_before_bulk(bus: EventBus) -> None:
    for lane in (Lane.BULK, Lane.NORMAL, Lane.HIGH):
        for family in FAMILIES:
            await bus.publish(a_message(f"{lane}-{family}", lane=lane, family=family))

    async with bus.open_slot(FAMILIES) as slot:
        order = [await take(slot) for _ in range(6)]

    assert [name.partition("-")[0] for name in order] == ["high", "high", "normal", "normal", "bulk", "bulk"]


async def test_families_when_one_has_a_backlog_then_the_other_takes_turns(bus: EventBus) -> None:
    for number in range(4):
        await bus.publish(a_message(f"office-{number}", family=Family.OFFICE))
    for number in range(2):
        await bus.publish(a_message(f"pdf-{number}", family=Family.PDF))

    async with bus.open_slot(FAMILIES) as slot:
        order = [(await take(slot)).partition("-")[0] for _ in range(6)]

    assert order[:4].count("pdf") == 2


async def test_slot_when_it_names_families_then_gets_no_other(bus: EventBus) -> None:
    await bus.publish(a_message("pictures", family=Family.IMAGE))
    await bus.publish(a_message("office"))

    async with bus.open_slot([Family.OFFICE]) as slot:
        assert await take(slot) == "office"
        waiting = asyncio.create_task(next_of(slot))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        waiting.cancel()


async def test_quarantine_when_there_is_a_backlog_then_suspects_and_ordinary_work_take_turns(bus: EventBus) -> None:
    """Promise 3; found by the chaos suite: a suspect waited for as long as there was ordinary work."""
    for number in range(4):
        await bus.publish(a_message(f"ordinary-{number}"))
        await bus.publish(a_message(f"suspect-{number}", lane=Lane.QUARANTINE))

    async with bus.open_slot(FAMILIES, quarantine=True) as slot:
        first_four = [await take(slot) for _ in range(4)]

    assert sorted(name.partition("-")[0] for name in first_four) == ["ordinary", "ordinary", "suspect", "suspect"]


async def test_quarantine_when_not_asked_for_then_left_to_who_asks(bus: EventBus) -> None:
    await bus.publish(a_message("suspect", lane=Lane.QUARANTINE))
    await bus.publish(a_message("harmless", lane=Lane.BULK))

    async with bus.open_slot(FAMILIES) as slot, bus.open_slot(FAMILIES, quarantine=True) as guarded:
        assert await take(slot) == "harmless"
        assert await take(guarded) == "suspect"


async def test_wakeup_when_released_then_another_slot_gets_it(bus: EventBus) -> None:
    await bus.publish(a_message("one"))

    async with bus.open_slot(FAMILIES) as first, bus.open_slot(FAMILIES) as second:
        await (await next_of(first)).release()
        assert await take(second) == "one"


async def test_wakeup_when_the_slot_closes_before_it_was_settled_then_redelivered(bus: EventBus) -> None:
    """M14: what a stopping worker has not accepted is for others."""
    await bus.publish(a_message("one"))

    async with bus.open_slot(FAMILIES) as slot:
        await next_of(slot)

    async with bus.open_slot(FAMILIES) as slot:
        assert await take(slot) == "one"


async def test_wakeup_when_left_unsettled_then_given_back_at_the_next(bus: EventBus) -> None:
    await bus.publish(a_message("one"))

    async with bus.open_slot(FAMILIES) as slot:
        await next_of(slot)
        assert await take(slot) == "one"


async def test_wakeup_when_accepted_then_never_comes_again(bus: EventBus) -> None:
    await bus.publish(a_message("one"))
    async with bus.open_slot(FAMILIES) as slot:
        await take(slot)

    async with bus.open_slot(FAMILIES) as slot:
        await bus.publish(a_message("two"))
        assert await take(slot) == "two"


async def test_wakeup_when_settled_after_its_slot_closed_then_silently_fine(bus: EventBus) -> None:
    await bus.publish(a_message("one"))
    async with bus.open_slot(FAMILIES) as slot:
        wakeup = await next_of(slot)

    await wakeup.accept()
    await wakeup.accept()
    await wakeup.release()

    async with bus.open_slot(FAMILIES) as slot:
        assert await take(slot) == "one"


async def test_next_when_cancelled_while_waiting_then_no_wakeup_is_lost(bus: EventBus) -> None:
    async with bus.open_slot(FAMILIES) as slot:
        for _ in range(3):
            waiting = asyncio.create_task(slot.next())
            await asyncio.wait({waiting}, timeout=0.2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await bus.publish(a_message("one"))
        assert await take(slot) == "one"


async def test_slots_when_several_wait_then_each_wakeup_goes_to_one_and_none_waits(bus: EventBus) -> None:
    """I12: several workers in parallel share the work."""
    seen: list[str] = []

    async def work(count: int) -> None:
        async with bus.open_slot(FAMILIES) as slot:
            for _ in range(count):
                seen.append(await take(slot))

    async with asyncio.TaskGroup() as slots:
        for _ in range(4):
            slots.create_task(work(5))
        for number in range(20):
            await bus.publish(a_message(str(number), family=FAMILIES[number % 2]))

    assert sorted(seen, key=int) == [str(number) for number in range(20)]


async def test_facts_when_announced_then_every_listener_gets_them_in_order(bus: EventBus) -> None:
    async with bus.subscribe() as first, bus.subscribe() as second:
        for percent in (1.0, 2.0, 3.0):
            await bus.publish_event(an_event("one", percent=percent))

        for listener in (first, second):
            got: list[ConversionEvent] = [await asyncio.wait_for(anext(listener), SOON_S) for _ in range(3)]
            assert got == [an_event("one", percent=percent) for percent in (1.0, 2.0, 3.0)]


async def test_facts_when_the_reader_is_slow_then_the_oldest_are_lost_and_nobody_is_blocked(bus: EventBus) -> None:
    total = 1100
    async with bus.subscribe() as listener, bus.subscribe() as fast:
        for percent in range(total):
            await bus.publish_event(an_event("one", percent=float(percent)))
            if percent % 100 == 99:  # keep the fast one level, so that all have arrived when the test goes on
                last = 0.0
                while last < percent:
                    last = (await asyncio.wait_for(anext(fast), SOON_S)).percent

        first = await asyncio.wait_for(anext(listener), SOON_S)

    assert 0 < first.percent < total


async def test_facts_when_nobody_listens_then_announcing_is_fine(bus: EventBus) -> None:
    await bus.publish_event(an_event("one"))
    await bus.ping()


async def test_backlog_when_wakeups_lie_in_a_queue_then_counted_until_they_are_handed_out(bus: EventBus) -> None:
    for number in range(2):
        await bus.publish(a_message(str(number)))

    async def backlog() -> int:
        return await bus.backlog(Family.OFFICE, Lane.NORMAL)

    await until_equal(backlog, 2)
    async with bus.open_slot([Family.OFFICE]) as slot:
        first = await slot.next()
        await until_equal(backlog, 1)
        await first.accept()
    assert await bus.backlog(Family.IMAGE, Lane.NORMAL) == 0


async def until_equal(ask: Callable[[], Awaitable[int]], wanted: int) -> None:
    """The broker counts a moment later than it acts."""
    async with asyncio.timeout(10):
        while await ask() != wanted:  # noqa: ASYNC110 - the broker is another process
            await asyncio.sleep(0.02)
