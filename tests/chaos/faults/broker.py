"""Faults of the broker: a memory alarm, an administrator's mistakes, and messages that nobody should publish."""

import asyncio
import functools
import secrets
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
from tests.chaos.faults.fault import Fault, Met, Passing
from tests.chaos.report.rereads import until_answered
from tests.chaos.system import System
from tests.proxy import Way

ALARM_S = 3.0
CHANGE_AND_BACK = """
Change = fun(P) ->
    ok = rabbit_auth_backend_internal:change_password(<<"converto">>, list_to_binary(P), <<"chaos">>)
end,
Change("{wrong}"),
rabbit_networking:close_connections(rabbit_networking:local_connections(), "chaos"),
timer:sleep(2000),
Change("{right}").
"""
COPIES = 20
RECENT = 10
USUAL_WATERMARK, NO_MEMORY = "0.4", "0.0000001"
FAMILIES = (Family.OFFICE, Family.IMAGE)
UNREADABLE = (b"not json", b'{"type":"conversion_created","v":99}', b'{"type":"unknown"}', b"x" * 1_000_000)


async def alarm(system: System) -> Met:
    """Raise the memory alarm: the broker accepts no publish."""
    passing = Passing(system, "broker")
    with system.outage("broker", "memory alarm"):
        await system.control_broker("set_vm_memory_high_watermark", NO_MEMORY)
        try:
            await asyncio.sleep(ALARM_S)
        finally:
            await system.control_broker("set_vm_memory_high_watermark", USUAL_WATERMARK)
    return passing.since(Way.TO_SERVER)


async def purge(system: System) -> Met:
    """Purge all queues of waiting messages."""
    purged = 0
    async with _channel(system) as channel:
        for name in _queues():
            purged += (await (await channel.get_queue(name, ensure=False)).purge()).message_count or 0
    return Met(purged, "waiting messages")


async def delete_queues(system: System) -> Met:
    """Delete the queues with their messages, consumers and bindings."""
    met = 0
    async with _channel(system) as channel:
        for name in _queues():
            found = (await channel.declare_queue(name, passive=True)).declaration_result
            met += (found.message_count or 0) + (found.consumer_count or 0)
            await channel.queue_delete(name)
    return Met(met, "waiting messages and consumers")


async def close_connections(system: System) -> Met:
    """Close all connections, as an administrator would."""
    passing = Passing(system, "broker")
    with system.outage("broker", "connections closed"):
        await system.control_broker("close_all_connections", "chaos")
    return passing.cut


async def duplicate(system: System) -> Met:
    """Publish earlier messages many times, whatever state their conversions are in."""
    recent = await _recent(system)
    async with _channel(system) as channel:
        for conversion in recent:
            await _send(channel, conversion, copies=COPIES)
    return Met(COPIES * len(recent), "messages")


async def stale(system: System) -> Met:
    """Publish messages with past and future tokens, and for unknown conversions."""
    recent = await _recent(system)
    async with _channel(system) as channel:
        for conversion in recent:
            for token in (conversion.token - 1, conversion.token + 1):
                await _send(channel, msgspec.structs.replace(conversion, token=max(token, 0)))
            await _send(channel, msgspec.structs.replace(conversion, id=f"{conversion.id}x"))
    return Met(3 * len(recent), "messages")


async def unreadable(system: System) -> Met:
    """Publish bodies that are no event, of a newer version, of an unknown type, and one megabyte long."""
    async with _channel(system) as channel:
        exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
        for body in UNREADABLE:
            for family in FAMILIES:
                await exchange.publish(aio_pika.Message(body), f"conversion_created.{Lane.NORMAL}.{family}")
    return Met(len(UNREADABLE) * len(FAMILIES), "messages")


async def wrong_password(system: System) -> Met:
    """Change the password and close all connections; a while later change it back."""
    passing = Passing(system, "broker")
    right, wrong = system.home.secrets().rabbitmq_password, secrets.token_hex(24)
    with system.outage("broker", "wrong password"):
        try:
            # One command for all, because each start of rabbitmqctl takes seconds on a busy machine.
            await system.control_broker("eval", CHANGE_AND_BACK.format(wrong=wrong, right=right))
        except Exception:
            change = functools.partial(system.control_broker, "change_password", "converto", right)
            await until_answered("the broker's right password", change)
            raise
    return passing.cut


FAULTS = (
    Fault("broker: memory alarm", alarm),
    Fault("broker: queues purged", purge),
    Fault("broker: queues deleted", delete_queues),
    Fault("broker: all connections closed", close_connections),
    Fault("broker: duplicate messages", duplicate),
    Fault("broker: stale and unknown messages", stale),
    Fault("broker: unreadable messages", unreadable),
    Fault("broker: wrong password", wrong_password),
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
