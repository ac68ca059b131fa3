"""Faults that only a broker can have: an alarm, a heavy-handed administrator, messages that nobody should send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel

from converto_core.conversion.record import Conversion, Lane
from converto_core.events import EVENTS_EXCHANGE, conversion_created, encode, queue_name
from converto_core.formats import Family
from converto_core.ports.stores import ConversionFilter
from converto_infra.mongo.stores import MongoStores
from tests.chaos.faults.fault import Fault
from tests.chaos.site import Site

ALARM_S = 3.0
COPIES = 20
RECENT = 10
USUAL_WATERMARK, NO_MEMORY = "0.4", "0.0000001"
FAMILIES = (Family.OFFICE, Family.IMAGE)
UNREADABLE = (b"not json", b'{"type":"conversion_created","v":99}', b'{"type":"unknown"}', b"x" * 1_000_000)


async def alarm(site: Site) -> None:
    """Out of memory: it takes no message from anybody who publishes."""
    with site.outage("broker", "memory alarm"):
        await site.control_broker("set_vm_memory_high_watermark", NO_MEMORY)
        try:
            await asyncio.sleep(ALARM_S)
        finally:
            await site.control_broker("set_vm_memory_high_watermark", USUAL_WATERMARK)


async def purge(site: Site) -> None:
    """Every wake-up that waits is thrown away."""
    async with _channel(site) as channel:
        for name in _queues():
            await (await channel.get_queue(name, ensure=False)).purge()


async def delete_queues(site: Site) -> None:
    """The queues go, with all that waits in them and with their bindings."""
    async with _channel(site) as channel:
        for name in _queues():
            await channel.queue_delete(name)


async def close_connections(site: Site) -> None:
    """An administrator ends all connections."""
    with site.outage("broker", "connections closed"):
        await site.control_broker("close_all_connections", "chaos")


async def duplicate(site: Site) -> None:
    """Wake-ups that were sent before come many times over, whatever has become of their conversions."""
    async with _channel(site) as channel:
        for conversion in await _recent(site):
            await _send(channel, conversion, copies=COPIES)


async def stale(site: Site) -> None:
    """Wake-ups of tokens that are over or not yet there, and of conversions that nobody knows."""
    async with _channel(site) as channel:
        for conversion in await _recent(site):
            for token in (conversion.token - 1, conversion.token + 1):
                await _send(channel, msgspec.structs.replace(conversion, token=max(token, 0)))
            await _send(channel, msgspec.structs.replace(conversion, id=f"{conversion.id}x"))


async def unreadable(site: Site) -> None:
    """Not an event, one of a newer version, one of no kind we know, a megabyte of nothing."""
    async with _channel(site) as channel:
        exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
        for body in UNREADABLE:
            for family in FAMILIES:
                await exchange.publish(aio_pika.Message(body), f"conversion_created.{Lane.NORMAL}.{family}")


FAULTS = (
    Fault("broker: memory alarm", alarm),
    Fault("broker: queues purged", purge),
    Fault("broker: queues deleted", delete_queues),
    Fault("broker: all connections closed", close_connections),
    Fault("broker: duplicate messages", duplicate),
    Fault("broker: stale and unknown messages", stale),
    Fault("broker: unreadable messages", unreadable),
)


@asynccontextmanager
async def _channel(site: Site) -> AsyncIterator[AbstractChannel]:
    """A channel of the administrator, past the proxy."""
    connection = await aio_pika.connect(site.settings.rabbitmq_url.get_secret_value(), timeout=10)
    async with connection:
        async with asyncio.timeout(10):
            yield await connection.channel(publisher_confirms=False)


async def _recent(site: Site) -> list[Conversion]:
    stores = MongoStores.connect(site.settings)
    try:
        found = await stores.conversions.find(ConversionFilter(limit=RECENT))
    finally:
        await stores.close()
    return [conversion for conversion in found if conversion.family is not None]


async def _send(channel: AbstractChannel, conversion: Conversion, *, copies: int = 1) -> None:
    exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
    event = conversion_created(conversion)
    for _ in range(copies):
        await exchange.publish(aio_pika.Message(encode(event), message_id=event.message_id), event.routing_key)


def _queues() -> list[str]:
    return [queue_name(family, lane) for family in FAMILIES for lane in Lane]
