"""The collector with memory adapters: stored once, before the acknowledgement, and deleted in time (C4, C8)."""

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


class Servers:
    """A dead letter queue, a database, and a clock that the test moves."""

    def __init__(self) -> None:
        self.stores, self.bus = MemoryStores(), MemoryEventBus()
        self.now_ms = NOW_MS
        self.collector = self.another_process()

    def another_process(self) -> DeadLetterCollector:
        return DeadLetterCollector(
            self.stores.dead_letters,
            self.stores.conversions,
            self.bus,
            retention_s=30 * DAY_S,
            now_ms=lambda: self.now_ms,
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
def servers() -> Servers:
    return Servers()


async def a_known(servers: Servers) -> Conversion:
    conversion = a_pending_conversion(token=2)
    await servers.stores.conversions.insert(conversion)
    return conversion


async def test_each_dead_letter_becomes_one_record(servers: Servers) -> None:
    conversion = await a_known(servers)
    rubbish = servers.park(b"rubbish")
    servers.park(encode(conversion_created(conversion)), verdict="delivery_limit")
    first, second = await servers.collector.sweep(), await servers.collector.sweep()
    records = {record.reason: record for record in await servers.records()}

    assert (first, second, servers.bus.dead_letter_count) == (2, 0, 0)
    assert records[Reason.UNREADABLE].id == rubbish.id
    assert records[Reason.UNREADABLE].status is None
    known = records[Reason.DELIVERY_LIMIT]
    assert (known.conversion_id, known.status, known.token) == (conversion.id, Status.PENDING, 2)


async def test_collecting_a_dead_letter_leaves_its_conversion_alone(servers: Servers) -> None:
    """Promise 3: the conversion is still pending, so the outbox sends its message again."""
    conversion = await a_known(servers)
    servers.park(encode(conversion_created(conversion)))
    await servers.collector.sweep()

    assert await servers.stores.conversions.get(conversion.id) == conversion
    assert await servers.stores.conversions.due(now_ms=NOW_MS, limit=10) == [conversion]


async def test_crash_before_acknowledging_leaves_one_record(
    servers: Servers,
) -> None:
    servers.park(b"rubbish")

    class Killed(BaseException):
        """Stands in for kill -9."""

    insert = servers.stores.dead_letters.insert

    async def insert_and_die(message: DeadLetter) -> None:
        await insert(message)
        raise Killed

    servers.stores.dead_letters.insert = insert_and_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await servers.collector.sweep()
    servers.stores.dead_letters.insert = insert  # type: ignore[method-assign]
    assert servers.bus.dead_letter_count == 1

    assert await servers.another_process().sweep() == 1
    assert len(await servers.records()) == 1
    assert servers.bus.dead_letter_count == 0


async def test_database_when_away_then_no_letter_is_even_taken(servers: Servers) -> None:
    """A broker drops messages that were returned too often, so the collector takes none that it cannot store."""
    servers.park(b"rubbish")
    servers.stores.is_away = True

    def never() -> None:
        raise AssertionError("a letter was taken")

    servers.bus.dead_letters = never  # type: ignore[assignment, method-assign]
    with pytest.raises(StoreUnavailable):
        await servers.collector.sweep()


async def test_concurrent_collectors_store_every_letter_once(servers: Servers) -> None:
    for number in range(60):
        servers.park(b"rubbish %d" % number)
    done = await asyncio.gather(*(servers.another_process().sweep() for _ in range(5)))

    assert sum(done) == 60
    assert len(await servers.records()) == 60


async def test_many_dead_letters_are_collected_in_batches(servers: Servers) -> None:
    for number in range(BATCH + 5):
        servers.park(b"rubbish %d" % number)

    assert [await servers.collector.sweep() for _ in range(3)] == [BATCH, 5, 0]


async def test_records_when_past_their_retention_then_forgotten(servers: Servers) -> None:
    servers.park(b"old")
    await servers.collector.sweep()
    servers.now_ms += 30 * DAY_S * 1000
    servers.park(b"new")
    await servers.collector.sweep()
    assert len(await servers.records()) == 2
    servers.now_ms += 1

    assert await servers.collector.sweep() == 1
    assert [record.body for record in await servers.records()] == ["new"]
