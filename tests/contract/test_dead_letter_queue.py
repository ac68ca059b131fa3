"""Dead letters on a real broker: their headers, and that each becomes exactly one record (C4, C8)."""

import asyncio
from collections.abc import Callable

import aio_pika
import msgspec
import pytest

from converto_core.conversion.record import Lane, Status
from converto_core.dead_letters import DeadLetter, DeadLetteredMessage, Reason
from converto_core.errors import BusUnavailable
from converto_core.events import (
    DEAD_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    conversion_created,
    encode,
    queue_name,
)
from converto_core.formats import Family
from converto_core.ids import now_ms
from converto_core.ports.bus import EventBus
from converto_core.ports.dead_letters import DeadLetterFilter, DeadLetterQueue
from converto_infra.memory.stores import MemoryEventBus, MemoryStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.rabbitmq.declarations import DELIVERY_LIMIT
from converto_infra.settings import Settings
from file_service.dead_letters.collector import DeadLetterCollector
from tests.contract.samples import a_message, a_pending_conversion

KEY = f"conversion_created.{Lane.NORMAL}.{Family.OFFICE}"
QUEUE = queue_name(Family.OFFICE, Lane.NORMAL)
SOON_S = 20.0


@pytest.fixture
def stores() -> MemoryStores:
    return MemoryStores()


def collector(stores: MemoryStores, bus: EventBus) -> DeadLetterCollector:
    return DeadLetterCollector(stores.dead_letters, stores.conversions, bus, retention_s=3600, now_ms=now_ms)


async def publish(
    admin: aio_pika.abc.AbstractChannel, body: bytes, *, exchange: str = EVENTS_EXCHANGE, key: str = KEY
) -> None:
    message = aio_pika.Message(body, message_id="by hand", headers={"x-death": "a lie"})
    await (await admin.get_exchange(exchange, ensure=False)).publish(message, key)


async def until_dead_letters(admin: aio_pika.abc.AbstractChannel, count: int) -> None:
    """Wait until the queue holds this many dead letters: the broker moves them with a delay."""
    async with asyncio.timeout(SOON_S):
        while True:
            queue = await admin.declare_queue(DEAD_LETTER_QUEUE, passive=True)
            if queue.declaration_result.message_count == count:
                return
            await asyncio.sleep(0.02)


async def next_of(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage:
    """The next message; a returned one takes a moment to become available again."""
    async with asyncio.timeout(SOON_S):
        while True:
            message = await queue.get(fail=False)
            if message is not None:
                return message
            await asyncio.sleep(0.01)


async def work_until(bus: RabbitEventBus, name: str) -> None:
    """Consume one message as a worker; unreadable ones before it become dead letters."""
    async with bus.open_slot([Family.OFFICE]) as slot:
        delivery = await asyncio.wait_for(slot.next(), SOON_S)
        await delivery.accept()
        assert delivery.event.id == name


async def records(stores: MemoryStores) -> list[DeadLetter]:
    return await stores.dead_letters.find(DeadLetterFilter(limit=1000))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"not json", "not an event"),
        (encode(msgspec.structs.replace(a_message("one"), v=99)), "version 99 is newer than 1"),
        (b"x" * 1_000_000, "not an event"),
        (b'{"type":"conversion_created","x":' + b"[" * 100_000, "not an event"),
        (encode(a_message("one", token=2**70)), "not an event"),
    ],
    ids=["text", "newer version", "a megabyte", "nested", "counts too far"],
)
async def test_unreadable_message_is_recorded_with_a_reason(
    rabbit: RabbitEventBus, admin: aio_pika.abc.AbstractChannel, stores: MemoryStores, body: bytes, words: str
) -> None:
    await publish(admin, body)
    await rabbit.publish(a_message("next"))
    before_ms = now_ms()
    await work_until(rabbit, "next")
    await until_dead_letters(admin, 1)

    assert await collector(stores, rabbit).sweep() == 1

    (record,) = await records(stores)
    assert (record.reason, record.verdict) == (Reason.UNREADABLE, "rejected")
    assert words in record.explanation
    assert (record.queue, record.routing_key, record.message_id) == (QUEUE, KEY, "by hand")
    assert record.size_bytes == len(body)
    assert abs(record.died_at - before_ms) < 60_000
    await until_dead_letters(admin, 0)


async def test_message_over_the_delivery_limit_is_recorded_with_its_count(
    rabbit: RabbitEventBus, admin: aio_pika.abc.AbstractChannel, stores: MemoryStores
) -> None:
    """Promise 3: the outbox publishes for a pending conversion, whatever happened to the last message."""
    conversion = a_pending_conversion(token=1)
    await stores.conversions.insert(conversion)
    await rabbit.publish(conversion_created(conversion))
    queue = await admin.get_queue(QUEUE, ensure=False)
    for _ in range(DELIVERY_LIMIT + 1):
        await (await next_of(queue)).nack(requeue=True)
    await until_dead_letters(admin, 1)

    assert await collector(stores, rabbit).sweep() == 1

    (record,) = await records(stores)
    assert (record.reason, record.verdict) == (Reason.DELIVERY_LIMIT, "delivery_limit")
    assert (record.conversion_id, record.message_token, record.queue) == (conversion.id, 1, QUEUE)
    assert (record.status, record.token) == (Status.PENDING, 1)
    assert record.deliveries == DELIVERY_LIMIT + 1
    assert await stores.conversions.due(now_ms=now_ms(), limit=10) == [conversion]


async def test_death_between_storing_and_acknowledging_leaves_one_record(
    rabbit: RabbitEventBus,
    admin: aio_pika.abc.AbstractChannel,
    stores: MemoryStores,
    server_settings: Callable[..., Settings],
) -> None:
    await publish(admin, b"not json")
    await rabbit.publish(a_message("next"))
    await work_until(rabbit, "next")
    await until_dead_letters(admin, 1)
    dying = RabbitEventBus.connect(server_settings())
    insert, stored = stores.dead_letters.insert, asyncio.Event()

    async def insert_and_hang(message: DeadLetter) -> None:
        await insert(message)
        stored.set()
        await asyncio.Event().wait()

    stores.dead_letters.insert = insert_and_hang  # type: ignore[method-assign]
    sweeping = asyncio.create_task(collector(stores, dying).sweep())
    await asyncio.wait_for(stored.wait(), SOON_S)
    await dying.close()
    sweeping.cancel()
    await asyncio.wait({sweeping})
    stores.dead_letters.insert = insert  # type: ignore[method-assign]
    await until_dead_letters(admin, 1)

    assert await collector(stores, rabbit).sweep() == 1

    assert len(await records(stores)) == 1
    await until_dead_letters(admin, 0)


async def test_message_published_to_the_dead_exchange_has_unknown_reason(
    rabbit: RabbitEventBus, admin: aio_pika.abc.AbstractChannel, stores: MemoryStores
) -> None:
    """Its headers come from a stranger and are false."""
    await publish(admin, encode(a_message("one")), exchange=DEAD_EXCHANGE, key="anything")
    await until_dead_letters(admin, 1)

    assert await collector(stores, rabbit).sweep() == 1

    (record,) = await records(stores)
    assert (record.reason, record.verdict, record.queue, record.deliveries) == (Reason.UNKNOWN, None, None, 0)
    assert record.died_at == record.stored_at


async def test_deleted_dead_letter_queue_is_recreated(
    rabbit: RabbitEventBus, admin: aio_pika.abc.AbstractChannel, stores: MemoryStores
) -> None:
    assert await collector(stores, rabbit).sweep() == 0
    await admin.queue_delete(DEAD_LETTER_QUEUE)
    with pytest.raises(BusUnavailable):
        await collector(stores, rabbit).sweep()

    assert await collector(stores, rabbit).sweep() == 0


# The contract of the dead letter queue, for both implementations


async def add_dead_letter(bus: EventBus, admin: aio_pika.abc.AbstractChannel | None, body: bytes, waiting: int) -> None:
    if isinstance(bus, MemoryEventBus):
        bus.add_dead_letter(DeadLetteredMessage(body=body, routing_key=KEY, died_at=1))
    elif admin is not None:
        await publish(admin, body, exchange=DEAD_EXCHANGE)
        await until_dead_letters(admin, waiting)


async def take(source: DeadLetterQueue) -> bytes | None:
    delivery = await source.take()
    return None if delivery is None else delivery.letter.body


@pytest.fixture
def operator(bus: EventBus, request: pytest.FixtureRequest) -> aio_pika.abc.AbstractChannel | None:
    """An administrator's channel to the broker; None for the memory bus."""
    if isinstance(bus, MemoryEventBus):
        return None
    channel: aio_pika.abc.AbstractChannel = request.getfixturevalue("admin")
    return channel


async def test_letters_come_in_order_until_accepted(
    bus: EventBus, operator: aio_pika.abc.AbstractChannel | None
) -> None:
    for number, body in enumerate((b"1", b"2", b"3"), 1):
        await add_dead_letter(bus, operator, body, number)
    async with bus.dead_letters() as letters:
        first = await letters.take()
        assert first is not None and first.letter.body == b"1"
        await first.accept()
        assert [await take(letters) for _ in range(3)] == [b"2", b"3", None]

    if operator is not None:
        await until_dead_letters(operator, 2)
    async with bus.dead_letters() as letters:
        assert [await take(letters) for _ in range(3)] == [b"2", b"3", None]


async def test_two_readers_never_get_the_same_letter(
    bus: EventBus, operator: aio_pika.abc.AbstractChannel | None
) -> None:
    for number, body in enumerate((b"1", b"2"), 1):
        await add_dead_letter(bus, operator, body, number)
    async with bus.dead_letters() as one, bus.dead_letters() as other:
        assert {await take(one), await take(other)} == {b"1", b"2"}
        assert await take(one) is None
