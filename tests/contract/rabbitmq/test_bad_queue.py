"""What an administrator can do to one exchange or queue while everything else goes on (C4, C8)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import aio_pika
import pytest
from structlog.testing import capture_logs

from converto_core.conversion.record import Lane
from converto_core.errors import BusUnavailable
from converto_core.events import DEAD_EXCHANGE, DEAD_LETTER_QUEUE, queue_name
from converto_core.formats import Family
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from tests.contract.conftest import publish_until_confirmed, purge
from tests.contract.samples import a_message

SOON_S = 30.0
BAD = queue_name(Family.OFFICE, Lane.NORMAL)  # where the sample's messages go
OTHER = queue_name(Family.IMAGE, Lane.BULK)  # a queue that nobody uses here
ADVICE = "it is used as it is. Delete it, and it is created again"
# RabbitMQ names the first argument that differs.
UNLIKE_OURS = f"exists with x-dead-letter-exchange none instead of {DEAD_EXCHANGE}; {ADVICE}"

Admin = aio_pika.abc.AbstractConnection


@pytest.fixture
async def admin_connection(server_settings: Callable[..., Settings]) -> AsyncIterator[Admin]:
    """An administrator's connection; what was done to the queues is undone at the end."""
    settings = server_settings()
    await purge(settings)
    url = settings.rabbitmq_url.get_secret_value()
    async with await aio_pika.connect(url) as connection:
        yield connection
    async with await aio_pika.connect(url) as connection:
        for name in (BAD, OTHER, DEAD_LETTER_QUEUE):
            with suppress(aio_pika.exceptions.ChannelClosed):
                await (await connection.channel()).queue_delete(name)
        await (await connection.channel()).exchange_delete(DEAD_EXCHANGE)


@pytest.fixture
async def start(server_settings: Callable[..., Settings]) -> AsyncIterator[Callable[[], RabbitEventBus]]:
    """Starts buses, and closes them."""
    started: list[RabbitEventBus] = []

    def start() -> RabbitEventBus:
        started.append(RabbitEventBus.connect(server_settings(breaker_failures=1000)))
        return started[-1]

    yield start
    for bus in started:
        await bus.close()


async def make_classic(admin: Admin, name: str) -> None:
    """What someone does in the management page: delete the queue, and add one of that name with the defaults."""
    channel = await admin.channel()
    with suppress(aio_pika.exceptions.ChannelClosed):
        await channel.queue_delete(name)
    await channel.declare_queue(name, durable=True)


async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
    await message.ack()


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            if is_true():
                return
            await asyncio.sleep(0.05)


async def test_unused_queue_made_classic_costs_nobody_anything(
    start: Callable[[], RabbitEventBus], admin_connection: Admin
) -> None:
    await make_classic(admin_connection, OTHER)

    with capture_logs() as logs:
        bus = start()
        await bus.publish(a_message("one"))
        async with bus.open_slot(list(Family)) as slot:
            delivery = await asyncio.wait_for(slot.next(), SOON_S)
            await delivery.accept()

    assert delivery.event.id == "one"
    assert bus.faults == (f"queue {OTHER} {UNLIKE_OURS}",)
    assert [entry["name"] for entry in logs if entry["event"] == "topology.fault"] == [OTHER]


async def test_unused_queue_made_classic_later_is_noticed(
    server_settings: Callable[..., Settings], admin_connection: Admin
) -> None:
    """Without a message for it, and without a new connection."""
    bus = RabbitEventBus.connect(server_settings(), look_at_all_s=0.2)
    try:
        await bus.ping()
        assert bus.faults == ()

        await make_classic(admin_connection, OTHER)

        await until(lambda: bus.faults == (f"queue {OTHER} {UNLIKE_OURS}",))
    finally:
        await bus.close()


async def test_messages_still_pass_through_a_classic_queue(
    start: Callable[[], RabbitEventBus], admin_connection: Admin
) -> None:
    """The administrator's queue has no binding; the database keeps what a classic queue might lose."""
    await make_classic(admin_connection, BAD)
    bus = start()

    await bus.publish(a_message("one"))
    async with bus.open_slot([Family.OFFICE]) as slot:
        delivery = await asyncio.wait_for(slot.next(), SOON_S)
        await delivery.accept()

    assert delivery.event.id == "one"
    assert await bus.backlog(Family.OFFICE, Lane.NORMAL) == 0


async def test_queue_made_classic_under_a_waiting_slot(
    start: Callable[[], RabbitEventBus], admin_connection: Admin
) -> None:
    bus = start()
    async with bus.open_slot([Family.OFFICE, Family.IMAGE]) as slot:
        waiting = asyncio.create_task(slot.next())
        await asyncio.wait({waiting}, timeout=0.3)
        await make_classic(admin_connection, BAD)
        await publish_until_confirmed(bus, "one")

        delivery = await asyncio.wait_for(waiting, SOON_S)
        await delivery.accept()

    assert delivery.event.id == "one"
    assert bus.faults == (f"queue {BAD} {UNLIKE_OURS}",)


async def test_deleted_bad_queue_is_created_again_without_a_restart(
    start: Callable[[], RabbitEventBus], admin_connection: Admin
) -> None:
    await make_classic(admin_connection, OTHER)
    bus = start()
    await bus.ping()
    assert bus.faults

    await (await admin_connection.channel()).queue_delete(OTHER)
    await until(lambda: not bus.faults)

    again = await admin_connection.channel()
    await again.declare_queue(
        OTHER,
        durable=True,
        arguments={"x-queue-type": "quorum", "x-delivery-limit": 20, "x-dead-letter-exchange": DEAD_EXCHANGE},
    )


async def test_stream_is_named_and_left_out(start: Callable[[], RabbitEventBus], admin_connection: Admin) -> None:
    """The broker ends the connection of whoever asks a stream for a message, so all families would suffer."""
    channel = await admin_connection.channel()
    with suppress(aio_pika.exceptions.ChannelClosed):
        await channel.queue_delete(OTHER)
    bus = start()
    await channel.declare_queue(OTHER, durable=True, arguments={"x-queue-type": "stream"})

    await bus.publish(a_message("one"))
    with capture_logs() as logs:
        async with bus.open_slot(list(Family)) as slot:
            delivery = await asyncio.wait_for(slot.next(), SOON_S)
            await delivery.accept()

    assert delivery.event.id == "one"
    assert bus.faults == (
        f"queue {OTHER} exists with type stream instead of quorum; it is not used. Delete it, and it is created again",
    )
    assert "slot.waits_for_broker" not in [entry["event"] for entry in logs]


async def test_queue_that_is_locked_by_a_stranger_stops_no_other(
    start: Callable[[], RabbitEventBus], admin_connection: Admin
) -> None:
    stranger = await admin_connection.channel()
    with suppress(aio_pika.exceptions.ChannelClosed):
        await stranger.queue_delete(OTHER)
    locked = await stranger.declare_queue(OTHER, exclusive=True)
    bus = start()

    await bus.publish(a_message("one"))
    async with bus.open_slot(list(Family)) as slot:
        delivery = await asyncio.wait_for(slot.next(), SOON_S)
        await delivery.accept()

    (fault,) = bus.faults
    assert fault.startswith(f"queue {OTHER} cannot be declared: RESOURCE_LOCKED")
    assert fault.endswith("it is not used until that is repaired")
    await locked.delete()
    await until(lambda: not bus.faults)


async def test_message_for_a_locked_queue_waits_in_the_outbox(
    start: Callable[[], RabbitEventBus], admin_connection: Admin
) -> None:
    """Nothing is lost: the publish fails each time until the queue is there again."""
    stranger = await admin_connection.channel()
    with suppress(aio_pika.exceptions.ChannelClosed):
        await stranger.queue_delete(BAD)
    locked = await stranger.declare_queue(BAD, exclusive=True)
    bus = start()
    for _ in range(3):
        with pytest.raises(BusUnavailable):
            await bus.publish(a_message("one"))
    await bus.ping()

    await locked.delete()
    await publish_until_confirmed(bus, "one")


async def test_queue_with_an_exclusive_consumer_is_left_out(
    start: Callable[[], RabbitEventBus], admin_connection: Admin
) -> None:
    bus = start()
    await bus.ping()
    stranger = await (await admin_connection.channel()).get_queue(OTHER)
    await make_classic(admin_connection, OTHER)  # a quorum queue has no exclusive consumers
    tag = await stranger.consume(take, exclusive=True)

    async with bus.open_slot(list(Family)) as slot:
        waiting = asyncio.create_task(slot.next())
        await until(lambda: any("not used" in fault for fault in bus.faults))
        await publish_until_confirmed(bus, "one")
        delivery = await asyncio.wait_for(waiting, SOON_S)
        await delivery.accept()

    assert delivery.event.id == "one"
    await stranger.cancel(tag)


async def test_dead_letter_queue_made_classic_keeps_its_work(
    start: Callable[[], RabbitEventBus], admin_connection: Admin
) -> None:
    await make_classic(admin_connection, DEAD_LETTER_QUEUE)
    bus = start()
    await bus.ping()
    sender = await (await admin_connection.channel()).get_exchange(DEAD_EXCHANGE)
    await sender.publish(aio_pika.Message(b"unreadable"), "anything")

    async with bus.dead_letters() as letters:
        letter = await letters.take()
        assert letter is not None
        assert letter.letter.body == b"unreadable"
        await letter.accept()

    assert bus.faults == (f"queue {DEAD_LETTER_QUEUE} exists with type classic instead of quorum; {ADVICE}",)


async def test_exchange_of_another_type_is_named(start: Callable[[], RabbitEventBus], admin_connection: Admin) -> None:
    channel = await admin_connection.channel()
    await channel.exchange_delete(DEAD_EXCHANGE)
    await channel.declare_exchange(DEAD_EXCHANGE, aio_pika.ExchangeType.FANOUT, durable=True)
    bus = start()

    await bus.publish(a_message("one"))

    assert bus.faults == (f"exchange {DEAD_EXCHANGE} exists with type fanout instead of topic; {ADVICE}",)
