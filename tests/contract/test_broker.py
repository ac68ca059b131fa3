"""What only a real broker can do to the bus: vanish, forget a queue, deliver rubbish."""

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
from tests.contract.conftest import purge
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
    """A bus behind the proxy, impatient, and without a breaker that would answer in the broker's place."""
    url = URL(server_settings().rabbitmq_url.get_secret_value()).with_host("127.0.0.1").with_port(proxy.port)
    bus = RabbitEventBus.connect(server_settings(rabbitmq_url=str(url), rabbitmq_timeout_s=1.0, breaker_failures=1000))
    yield bus
    await bus.close()


@pytest.fixture
async def admin(server_settings: Callable[..., Settings]) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel past the proxy, for what an operator or a stranger does."""
    async with await aio_pika.connect(server_settings().rabbitmq_url.get_secret_value()) as connection:
        yield await connection.channel()


async def publish_until_confirmed(bus: RabbitEventBus, conversion_id: str) -> None:
    """What the outbox does."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                await bus.publish(a_message(conversion_id))
            except BusUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_publish_when_the_broker_is_slow_to_declare_all_queues_then_it_gets_through_in_the_end(
    bus: RabbitEventBus, proxy: Proxy
) -> None:
    """C8: connecting takes longer than one caller waits, so it must not begin anew with each of them."""
    proxy.slow(latency_s=0.03)  # two ways for each of some sixty calls: about four times the deadline of a caller

    await publish_until_confirmed(bus, "one")


async def test_slot_when_connections_are_cut_while_it_waits_then_goes_on(bus: RabbitEventBus, proxy: Proxy) -> None:
    """C8: automatic reconnection of the worker."""
    async with bus.open_slot([Family.OFFICE]) as slot:
        for number in range(3):
            waiting = asyncio.create_task(slot.next())
            await asyncio.wait({waiting}, timeout=0.3)
            proxy.cut()
            await publish_until_confirmed(bus, str(number))

            wakeup = await asyncio.wait_for(waiting, SOON_S)
            await wakeup.accept()
            assert wakeup.event.id == str(number)


async def test_slot_when_the_broker_refuses_for_a_while_then_goes_on(bus: RabbitEventBus, proxy: Proxy) -> None:
    async with bus.open_slot([Family.OFFICE]) as slot:
        waiting = asyncio.create_task(slot.next())
        await asyncio.wait({waiting}, timeout=0.3)
        await proxy.stop()
        with pytest.raises(BusUnavailable):
            await bus.publish(a_message("never"))
        await proxy.start()
        await publish_until_confirmed(bus, "one")

        wakeup = await asyncio.wait_for(waiting, SOON_S)

        await wakeup.accept()
        assert wakeup.event.id == "one"


async def test_publish_when_the_network_is_a_black_hole_then_fails_in_time_and_mends(
    bus: RabbitEventBus, proxy: Proxy
) -> None:
    """C8: no call waits without end, and none needs a restart afterwards."""
    await bus.ping()
    proxy.silence()

    started = asyncio.get_running_loop().time()
    with pytest.raises(BusUnavailable):
        await bus.publish(a_message("one"))
    assert asyncio.get_running_loop().time() - started < 3

    proxy.resume()
    await publish_until_confirmed(bus, "two")


async def test_wakeup_when_the_channel_died_before_it_was_accepted_then_delivered_again(
    bus: RabbitEventBus, proxy: Proxy
) -> None:
    await bus.publish(a_message("one"))
    async with bus.open_slot([Family.OFFICE]) as slot:
        wakeup = await asyncio.wait_for(slot.next(), SOON_S)
        proxy.cut()
        await wakeup.accept()

        again = await asyncio.wait_for(slot.next(), SOON_S)

        await again.accept()
        assert again.event.id == "one"


async def test_publish_when_no_queue_takes_it_then_unavailable_and_the_queue_comes_back(
    bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel
) -> None:
    """C4: an unroutable event is noticed."""
    await bus.ping()
    await admin.queue_delete(queue_name(Family.OFFICE, Lane.NORMAL))

    with pytest.raises(BusUnavailable):
        await bus.publish(a_message("one"))

    await bus.publish(a_message("two"))


async def test_backlog_when_the_queue_is_gone_then_unavailable_and_the_next_publish_makes_it_anew(
    bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel
) -> None:
    await bus.ping()
    await admin.queue_delete(queue_name(Family.OFFICE, Lane.NORMAL))

    with pytest.raises(BusUnavailable):
        await bus.backlog(Family.OFFICE, Lane.NORMAL)

    await bus.publish(a_message("one"))
    assert await bus.backlog(Family.OFFICE, Lane.NORMAL) in (0, 1)


async def test_slot_when_a_queue_is_deleted_while_it_waits_then_goes_on(
    bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel
) -> None:
    async with bus.open_slot([Family.OFFICE]) as slot:
        waiting = asyncio.create_task(slot.next())
        await asyncio.wait({waiting}, timeout=0.3)
        await admin.queue_delete(queue_name(Family.OFFICE, Lane.NORMAL))
        await publish_until_confirmed(bus, "one")

        wakeup = await asyncio.wait_for(waiting, SOON_S)

        await wakeup.accept()
        assert wakeup.event.id == "one"


@pytest.mark.parametrize(
    "body", [b"not json", b'{"type":"conversion_created","v":99}', b"x" * 1_000_000], ids=["text", "version", "huge"]
)
async def test_message_when_unreadable_then_parked_and_the_next_one_is_served(
    bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel, body: bytes
) -> None:
    await bus.ping()
    events = await admin.get_exchange(EVENTS_EXCHANGE, ensure=False)
    await events.publish(aio_pika.Message(body), f"conversion_created.{Lane.NORMAL}.{Family.OFFICE}")
    await bus.publish(a_message("one"))

    async with bus.open_slot([Family.OFFICE]) as slot:
        wakeup = await asyncio.wait_for(slot.next(), SOON_S)
        await wakeup.accept()

    assert wakeup.event.id == "one"
    parked = await admin.get_queue(DEAD_LETTER_QUEUE)
    async with asyncio.timeout(SOON_S), parked.iterator() as messages:
        message = await anext(messages)
        await message.ack()
    assert message.body == body


async def test_wakeup_when_published_then_persistent_and_small(
    bus: RabbitEventBus, admin: aio_pika.abc.AbstractChannel
) -> None:
    """C4: it survives a restart of the broker."""
    await bus.publish(a_message("one"))

    queue = await admin.get_queue(queue_name(Family.OFFICE, Lane.NORMAL))
    message = await queue.get()
    await message.ack()

    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.message_id == "one:0"
    assert message.headers["traceparent"] == "00-abc-def-01"
    assert len(message.body) < 1024


async def test_facts_when_the_connection_is_cut_then_flow_again(bus: RabbitEventBus, proxy: Proxy) -> None:
    async with bus.subscribe() as facts:
        await bus.publish_event(an_event("one"))
        assert (await asyncio.wait_for(anext(facts), SOON_S)).id == "one"
        proxy.cut()

        async def announce_for_ever() -> None:
            while True:
                await bus.publish_event(an_event("two"))
                await asyncio.sleep(0.1)

        announcing = asyncio.create_task(announce_for_ever())
        assert (await asyncio.wait_for(anext(facts), SOON_S)).id == "two"
        announcing.cancel()


async def test_two_buses_when_one_announces_then_the_other_hears_and_works(
    rabbit: RabbitEventBus, server_settings: Callable[..., Settings]
) -> None:
    """The file service and the worker are two processes with a bus each."""
    other = RabbitEventBus.connect(server_settings())
    async with other.subscribe() as facts, other.open_slot([Family.OFFICE]) as slot:
        await rabbit.publish(a_message("one"))
        await rabbit.publish_event(an_event("one"))

        assert (await asyncio.wait_for(slot.next(), SOON_S)).event.id == "one"
        assert (await asyncio.wait_for(anext(facts), SOON_S)).id == "one"
    await other.close()
