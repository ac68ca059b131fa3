"""The contract of `EventBus`."""

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
    delivery = await next_of(slot)
    await delivery.accept()
    return delivery.event.id


async def test_published_message_arrives_unchanged(bus: EventBus) -> None:
    """C4: a worker receives what was published."""
    event = a_message("one", family=Family.PDF, token=7)
    await bus.publish(event)

    async with bus.open_slot(FAMILIES) as slot:
        delivery = await next_of(slot)
        await delivery.accept()

    assert delivery.event == event


async def test_slot_waits_for_the_next_message(bus: EventBus) -> None:
    async with bus.open_slot(FAMILIES) as slot:
        for number in range(3):
            waiting = asyncio.create_task(next_of(slot))
            done, _ = await asyncio.wait({waiting}, timeout=0.3)
            assert not done
            await bus.publish(a_message(str(number), family=FAMILIES[number % 2]))
            delivery = await waiting
            await delivery.accept()
            assert delivery.event.id == str(number)


async def test_lanes_are_served_high_normal_bulk(bus: EventBus) -> None:
    for lane in (Lane.BULK, Lane.NORMAL, Lane.HIGH):
        for family in FAMILIES:
            await bus.publish(a_message(f"{lane}-{family}", lane=lane, family=family))

    async with bus.open_slot(FAMILIES) as slot:
        order = [await take(slot) for _ in range(6)]

    assert [name.partition("-")[0] for name in order] == ["high", "high", "normal", "normal", "bulk", "bulk"]


async def test_families_take_turns_despite_a_backlog(bus: EventBus) -> None:
    for number in range(4):
        await bus.publish(a_message(f"office-{number}", family=Family.OFFICE))
    for number in range(2):
        await bus.publish(a_message(f"pdf-{number}", family=Family.PDF))

    async with bus.open_slot(FAMILIES) as slot:
        order = [(await take(slot)).partition("-")[0] for _ in range(6)]

    assert order[:4].count("pdf") == 2


async def test_slot_gets_only_its_families(bus: EventBus) -> None:
    await bus.publish(a_message("pictures", family=Family.IMAGE))
    await bus.publish(a_message("office"))

    async with bus.open_slot([Family.OFFICE]) as slot:
        assert await take(slot) == "office"
        waiting = asyncio.create_task(next_of(slot))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        waiting.cancel()


async def test_quarantine_takes_turns_with_a_backlog(bus: EventBus) -> None:
    """Promise 3; found by the chaos suite: quarantine waited for as long as there was normal work."""
    for number in range(4):
        await bus.publish(a_message(f"normal-{number}"))
        await bus.publish(a_message(f"quarantined-{number}", lane=Lane.QUARANTINE))

    async with bus.open_slot(FAMILIES, quarantine=True) as slot:
        first_four = [await take(slot) for _ in range(4)]

    assert sorted(name.partition("-")[0] for name in first_four) == ["normal", "normal", "quarantined", "quarantined"]


async def test_quarantine_is_left_to_the_slots_that_consume_it(bus: EventBus) -> None:
    await bus.publish(a_message("quarantined", lane=Lane.QUARANTINE))
    await bus.publish(a_message("harmless", lane=Lane.BULK))

    async with bus.open_slot(FAMILIES) as slot, bus.open_slot(FAMILIES, quarantine=True) as guarded:
        assert await take(slot) == "harmless"
        assert await take(guarded) == "quarantined"


async def test_released_message_goes_to_another_slot(bus: EventBus) -> None:
    await bus.publish(a_message("one"))

    async with bus.open_slot(FAMILIES) as first, bus.open_slot(FAMILIES) as second:
        await (await next_of(first)).release()
        assert await take(second) == "one"


async def test_closing_a_slot_returns_its_unsettled_message(bus: EventBus) -> None:
    """M14: what a stopping worker has not accepted goes to others."""
    await bus.publish(a_message("one"))

    async with bus.open_slot(FAMILIES) as slot:
        await next_of(slot)

    async with bus.open_slot(FAMILIES) as slot:
        assert await take(slot) == "one"


async def test_next_returns_an_unsettled_message_to_the_queue(bus: EventBus) -> None:
    await bus.publish(a_message("one"))

    async with bus.open_slot(FAMILIES) as slot:
        await next_of(slot)
        assert await take(slot) == "one"


async def test_accepted_message_never_comes_again(bus: EventBus) -> None:
    await bus.publish(a_message("one"))
    async with bus.open_slot(FAMILIES) as slot:
        await take(slot)

    async with bus.open_slot(FAMILIES) as slot:
        await bus.publish(a_message("two"))
        assert await take(slot) == "two"


async def test_settling_after_the_slot_closed_does_nothing(bus: EventBus) -> None:
    await bus.publish(a_message("one"))
    async with bus.open_slot(FAMILIES) as slot:
        delivery = await next_of(slot)

    await delivery.accept()
    await delivery.accept()
    await delivery.release()

    async with bus.open_slot(FAMILIES) as slot:
        assert await take(slot) == "one"


async def test_cancelled_next_loses_no_message(bus: EventBus) -> None:
    async with bus.open_slot(FAMILIES) as slot:
        for _ in range(3):
            waiting = asyncio.create_task(slot.next())
            await asyncio.wait({waiting}, timeout=0.2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await bus.publish(a_message("one"))
        assert await take(slot) == "one"


async def test_each_message_goes_to_one_slot(bus: EventBus) -> None:
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


async def test_every_subscriber_gets_events_in_order(bus: EventBus) -> None:
    async with bus.subscribe() as first, bus.subscribe() as second:
        for percent in (1.0, 2.0, 3.0):
            await bus.publish_event(an_event("one", percent=percent))

        for subscriber in (first, second):
            got: list[ConversionEvent] = [await asyncio.wait_for(anext(subscriber), SOON_S) for _ in range(3)]
            assert got == [an_event("one", percent=percent) for percent in (1.0, 2.0, 3.0)]


async def test_slow_subscriber_loses_the_oldest_events_and_blocks_nobody(bus: EventBus) -> None:
    total = 1100
    async with bus.subscribe() as subscriber, bus.subscribe() as fast:
        for percent in range(total):
            await bus.publish_event(an_event("one", percent=float(percent)))
            if percent % 100 == 99:  # drain the fast one, so that all events have arrived when the test continues
                last = 0.0
                while last < percent:
                    last = (await asyncio.wait_for(anext(fast), SOON_S)).percent

        first = await asyncio.wait_for(anext(subscriber), SOON_S)

    assert 0 < first.percent < total


async def test_publishing_events_without_subscribers_works(bus: EventBus) -> None:
    await bus.publish_event(an_event("one"))
    await bus.ping()


async def test_backlog_counts_undelivered_messages(bus: EventBus) -> None:
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
    """Wait: the broker updates its counts with a delay."""
    async with asyncio.timeout(10):
        while await ask() != wanted:  # noqa: ASYNC110 - the broker is another process
            await asyncio.sleep(0.02)
