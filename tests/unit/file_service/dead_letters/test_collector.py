"""Dead letters over memory twins: taken once, stored before they are acknowledged, forgotten in time (C4, C8)."""

import asyncio

import pytest

from converto_core.conversion.record import Conversion, Status
from converto_core.dead_letters import DeadLetter, DeadLetteredMessage, Reason
from converto_core.errors import StoreUnavailable
from converto_core.events import conversion_created, encode
from converto_core.ports.dead_letters import DeadLetterFilter
from converto_infra.memory.stores import MemoryEventBus, MemoryStores
from file_service.dead_letters.collector import BATCH, DeadLetterCollector
from tests.contract.samples import NOW_MS, a_pending_conversion

DAY_S = 86400


class Yard:
    """A parked queue, a database, and a clock that the test moves."""

    def __init__(self) -> None:
        self.stores, self.bus = MemoryStores(), MemoryEventBus()
        self.now_ms = NOW_MS
        self.parking = self.another_process()

    def another_process(self) -> DeadLetterCollector:
        stores, retention_s = self.stores, 30 * DAY_S
        return DeadLetterCollector(
            stores.dead_letters, stores.conversions, self.bus, retention_s=retention_s, now_ms=lambda: self.now_ms
        )

    def park(self, body: bytes, *, verdict: str = "rejected") -> DeadLetteredMessage:
        letter = DeadLetteredMessage(
            body=body, routing_key="k", queue="q", verdict=verdict, deaths=1, died_at=self.now_ms
        )
        self.bus.add_dead_letter(letter)
        return letter

    async def records(self) -> list[DeadLetter]:
        return await self.stores.dead_letters.find(DeadLetterFilter(limit=1000))


@pytest.fixture
def yard() -> Yard:
    return Yard()


async def a_known(yard: Yard) -> Conversion:
    conversion = a_pending_conversion(token=2)
    await yard.stores.conversions.insert(conversion)
    return conversion


async def test_letters_when_parked_then_one_record_each_and_the_queue_is_empty(yard: Yard) -> None:
    conversion = await a_known(yard)
    rubbish = yard.park(b"rubbish")
    yard.park(encode(conversion_created(conversion)), verdict="delivery_limit")
    first, second = await yard.parking.sweep(), await yard.parking.sweep()
    records = {record.reason: record for record in await yard.records()}

    assert (first, second, yard.bus.dead_letter_count) == (2, 0, 0)
    assert records[Reason.UNREADABLE].id == rubbish.id
    assert records[Reason.UNREADABLE].status is None
    known = records[Reason.DELIVERY_LIMIT]
    assert (known.conversion_id, known.status, known.token) == (conversion.id, Status.PENDING, 2)


async def test_conversion_when_its_wakeup_is_parked_then_the_conversion_is_not_touched(yard: Yard) -> None:
    """Promise 3: it still waits, so the outbox sends it again, with nobody's help."""
    conversion = await a_known(yard)
    yard.park(encode(conversion_created(conversion)))
    await yard.parking.sweep()

    assert await yard.stores.conversions.get(conversion.id) == conversion
    assert await yard.stores.conversions.due(now_ms=NOW_MS, limit=10) == [conversion]


async def test_process_when_it_dies_between_storing_and_acknowledging_then_there_is_one_record(yard: Yard) -> None:
    yard.park(b"rubbish")

    class Killed(BaseException):
        """What a test can see of kill -9."""

    insert = yard.stores.dead_letters.insert

    async def insert_and_die(message: DeadLetter) -> None:
        await insert(message)
        raise Killed

    yard.stores.dead_letters.insert = insert_and_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await yard.parking.sweep()
    yard.stores.dead_letters.insert = insert  # type: ignore[method-assign]
    assert yard.bus.dead_letter_count == 1

    assert await yard.another_process().sweep() == 1
    assert len(await yard.records()) == 1
    assert yard.bus.dead_letter_count == 0


async def test_database_when_away_then_no_letter_is_even_taken(yard: Yard) -> None:
    """A broker drops what went back too often, so nothing is taken that could not be stored."""
    yard.park(b"rubbish")
    yard.stores.is_away = True

    def never() -> None:
        raise AssertionError("a letter was taken")

    yard.bus.dead_letters = never  # type: ignore[assignment, method-assign]
    with pytest.raises(StoreUnavailable):
        await yard.parking.sweep()


async def test_many_processes_when_they_sweep_at_once_then_every_letter_is_stored_once(yard: Yard) -> None:
    for number in range(60):
        yard.park(b"rubbish %d" % number)
    done = await asyncio.gather(*(yard.another_process().sweep() for _ in range(5)))

    assert sum(done) == 60
    assert len(await yard.records()) == 60


async def test_flood_when_parked_then_taken_in_batches(yard: Yard) -> None:
    for number in range(BATCH + 5):
        yard.park(b"rubbish %d" % number)

    assert [await yard.parking.sweep() for _ in range(3)] == [BATCH, 5, 0]


async def test_records_when_past_their_retention_then_forgotten(yard: Yard) -> None:
    yard.park(b"old")
    await yard.parking.sweep()
    yard.now_ms += 30 * DAY_S * 1000
    yard.park(b"new")
    await yard.parking.sweep()
    assert len(await yard.records()) == 2
    yard.now_ms += 1

    assert await yard.parking.sweep() == 1
    assert [record.body for record in await yard.records()] == ["new"]
