"""Faults of the broker: a memory alarm, an administrator's mistakes, and messages that nobody should publish."""

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
from tests.chaos.system import System

ALARM_S = 3.0
COPIES = 20
RECENT = 10
USUAL_WATERMARK, NO_MEMORY = "0.4", "0.0000001"
FAMILIES = (Family.OFFICE, Family.IMAGE)
UNREADABLE = (b"not json", b'{"type":"conversion_created","v":99}', b'{"type":"unknown"}', b"x" * 1_000_000)


async def alarm(system: System) -> None:
    """Raise the memory alarm: the broker accepts no publish."""
    with system.outage("broker", "memory alarm"):
        await system.control_broker("set_vm_memory_high_watermark", NO_MEMORY)
        try:
            await asyncio.sleep(ALARM_S)
        finally:
            await system.control_broker("set_vm_memory_high_watermark", USUAL_WATERMARK)


async def purge(system: System) -> None:
    """Purge all queues of waiting messages."""
    async with _channel(system) as channel:
        for name in _queues():
            await (await channel.get_queue(name, ensure=False)).purge()


async def delete_queues(system: System) -> None:
    """Delete the queues with their messages and bindings."""
    async with _channel(system) as channel:
        for name in _queues():
            await channel.queue_delete(name)


async def close_connections(system: System) -> None:
    """Close all connections, as an administrator would."""
    with system.outage("broker", "connections closed"):
        await system.control_broker("close_all_connections", "chaos")


async def duplicate(system: System) -> None:
    """Publish earlier messages many times, whatever state their conversions are in."""
    async with _channel(system) as channel:
        for conversion in await _recent(system):
            await _send(channel, conversion, copies=COPIES)


async def stale(system: System) -> None:
    """Publish messages with past and future tokens, and for unknown conversions."""
    async with _channel(system) as channel:
        for conversion in await _recent(system):
            for token in (conversion.token - 1, conversion.token + 1):
                await _send(channel, msgspec.structs.replace(conversion, token=max(token, 0)))
            await _send(channel, msgspec.structs.replace(conversion, id=f"{conversion.id}x"))


async def unreadable(system: System) -> None:
    """Publish bodies that are no event, of a newer version, of an unknown type, and one megabyte long."""
    async with _channel(system) as channel:
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
async def _channel(system: System) -> AsyncIterator[AbstractChannel]:
    """Open a channel directly to the broker, past the proxy."""
    connection = await aio_pika.connect(system.settings.rabbitmq_url.get_secret_value(), timeout=10)
    async with connection:
        async with asyncio.timeout(10):
            yield await connection.channel(publisher_confirms=False)


async def _recent(system: System) -> list[Conversion]:
    stores = MongoStores.connect(system.settings)
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
