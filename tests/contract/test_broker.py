"""What only a real broker does to the bus: disappear, lose a queue, deliver garbage."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aio_pika
import pytest
from yarl import URL

from converto_core.conversion.record import Lane
from converto_core.errors import BusUnavailable
from converto_core.events import DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, queue_name
from converto_core.formats import Family
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from tests.contract.conftest import publish_until_confirmed, purge
from tests.contract.samples import a_message, an_event
from tests.proxy import Proxy, proxy_to

SOON_S = 20.0


@pytest.fixture
async def proxy(server_settings: Callable[..., Settings]) -> AsyncIterator[Proxy]:
    settings = server_settings()
    await purge(settings)
    url = URL(settings.rabbitmq_url.get_secret_value())
    async with proxy_to(url.host or "127.0.0.1", url.port or 5672) as proxy:
        yield proxy


@pytest.fixture
async def bus(server_settings: Callable[..., Settings], proxy: Proxy) -> AsyncIterator[RabbitEventBus]:
    """A bus behind the proxy with a short timeout, and without a breaker that would answer in place of the broker."""
    url = URL(server_settings().rabbitmq_url.get_secret_value()).with_host("127.0.0.1").with_port(proxy.port)
    bus = RabbitEventBus.connect(server_settings(rabbitmq_url=str(url), rabbitmq_timeout_s=1.0, breaker_failures=1000))
    yield bus
    await bus.close()


async def test_publish_succeeds_though_the_broker_declares_queues_slowly(bus: RabbitEventBus, proxy: Proxy) -> None:
    """C8: connecting takes longer than one caller waits, so callers must share one attempt."""
    proxy.slow(latency_s=0.03)  # two ways for each of some sixty calls: about four times the deadline of a caller

    await publish_until_confirmed(bus, "one")


async def test_waiting_slot_survives_cut_connections(bus: RabbitEventBus, proxy: Proxy) -> None:
    """C8: automatic reconnection of the worker."""
    async with bus.open_slot([Family.OFFICE]) as slot:
        for number in range(3):
            waiting = asyncio.create_task(slot.next())
            await asyncio.wait({waiting}, timeout=0.3)
            proxy.cut()
            await publish_until_confirmed(bus, str(number))

            delivery = await asyncio.wait_for(waiting, SOON_S)
            await delivery.accept()
            assert delivery.event.id == str(number)


async def test_slot_survives_refused_connections(bus: RabbitEventBus, proxy: Proxy) -> None:
    async with bus.open_slot([Family.OFFICE]) as slot:
        waiting = asyncio.create_task(slot.next())
        await asyncio.wait({waiting}, timeout=0.3)
        await proxy.stop()
        with pytest.raises(BusUnavailable):
            await bus.publish(a_message("never"))
        await proxy.start()
        await publish_until_confirmed(bus, "one")

        delivery = await asyncio.wait_for(waiting, SOON_S)

        await delivery.accept()
        assert delivery.event.id == "one"


async def test_publish_into_a_silent_network_fails_in_time(bus: RabbitEventBus, proxy: Proxy) -> None:
    """C8: no call waits forever, and recovery needs no restart."""
    await bus.ping()
    proxy.silence()

    started = asyncio.get_running_loop().time()
    with pytest.raises(BusUnavailable):
        await bus.publish(a_message("one"))
    assert asyncio.get_running_loop().time() - started < 3

    proxy.resume()
    await publish_until_confirmed(bus, "two")


async def test_message_is_redelivered_when_the_channel_dies_before_accept(bus: RabbitEventBus, proxy: Proxy) -> None:
    await bus.publish(a_message("one"))
    async with bus.open_slot([Family.OFFICE]) as slot:
        delivery = await asyncio.wait_for(slot.next(), SOON_S)
        proxy.cut()
        await delivery.accept()

        again = await asyncio.wait_for(slot.next(), SOON_S)

        await again.accept()
        assert again.event.id == "one"


async def test_unroutable_publish_fails_and_recreates_the_queue(
    bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel
) -> None:
    """C4: an unroutable event is noticed."""
    await bus.ping()
    await admin.queue_delete(queue_name(Family.OFFICE, Lane.NORMAL))

    with pytest.raises(BusUnavailable):
        await bus.publish(a_message("one"))

    await bus.publish(a_message("two"))


async def test_backlog_of_a_missing_queue_is_unavailable(
    bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel
) -> None:
    await bus.ping()
    await admin.queue_delete(queue_name(Family.OFFICE, Lane.NORMAL))

    with pytest.raises(BusUnavailable):
        await bus.backlog(Family.OFFICE, Lane.NORMAL)

    await bus.publish(a_message("one"))
    assert await bus.backlog(Family.OFFICE, Lane.NORMAL) in (0, 1)


async def test_waiting_slot_survives_a_deleted_queue(bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel) -> None:
    async with bus.open_slot([Family.OFFICE]) as slot:
        waiting = asyncio.create_task(slot.next())
        await asyncio.wait({waiting}, timeout=0.3)
        await admin.queue_delete(queue_name(Family.OFFICE, Lane.NORMAL))
        await publish_until_confirmed(bus, "one")

        delivery = await asyncio.wait_for(waiting, SOON_S)

        await delivery.accept()
        assert delivery.event.id == "one"


@pytest.mark.parametrize(
    "body", [b"not json", b'{"type":"conversion_created","v":99}', b"x" * 1_000_000], ids=["text", "version", "huge"]
)
async def test_unreadable_message_becomes_a_dead_letter(
    bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel, body: bytes
) -> None:
    await bus.ping()
    events = await admin.get_exchange(EVENTS_EXCHANGE, ensure=False)
    await events.publish(aio_pika.Message(body), f"conversion_created.{Lane.NORMAL}.{Family.OFFICE}")
    await bus.publish(a_message("one"))

    async with bus.open_slot([Family.OFFICE]) as slot:
        delivery = await asyncio.wait_for(slot.next(), SOON_S)
        await delivery.accept()

    assert delivery.event.id == "one"
    dead_letters = await admin.get_queue(DEAD_LETTER_QUEUE)
    async with asyncio.timeout(SOON_S), dead_letters.iterator() as messages:
        message = await anext(messages)
        await message.ack()
    assert message.body == body


async def test_message_is_persistent_and_small(bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel) -> None:
    """C4: it survives a restart of the broker."""
    await bus.publish(a_message("one"))

    queue = await admin.get_queue(queue_name(Family.OFFICE, Lane.NORMAL))
    message = await queue.get()
    await message.ack()

    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.message_id == "one:0"
    assert message.headers["traceparent"] == "00-abc-def-01"
    assert len(message.body) < 1024


async def test_events_flow_again_after_a_cut_connection(bus: RabbitEventBus, proxy: Proxy) -> None:
    async with bus.subscribe() as events:
        await bus.publish_event(an_event("one"))
        assert (await asyncio.wait_for(anext(events), SOON_S)).id == "one"
        proxy.cut()

        async def publish_forever() -> None:
            while True:
                await bus.publish_event(an_event("two"))
                await asyncio.sleep(0.1)

        publishing = asyncio.create_task(publish_forever())
        assert (await asyncio.wait_for(anext(events), SOON_S)).id == "two"
        publishing.cancel()


async def test_messages_and_events_reach_another_bus(
    rabbit: RabbitEventBus, server_settings: Callable[..., Settings]
) -> None:
    """The file service and the worker are two processes with a bus each."""
    other = RabbitEventBus.connect(server_settings())
    async with other.subscribe() as events, other.open_slot([Family.OFFICE]) as slot:
        await rabbit.publish(a_message("one"))
        await rabbit.publish_event(an_event("one"))

        assert (await asyncio.wait_for(slot.next(), SOON_S)).event.id == "one"
        assert (await asyncio.wait_for(anext(events), SOON_S)).id == "one"
    await other.close()
