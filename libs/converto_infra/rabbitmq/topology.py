"""The exchanges, queues and bindings on RabbitMQ."""

import asyncio

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

from converto_core.conversion.record import Lane
from converto_core.events import DEAD_EXCHANGE, DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, queue_name
from converto_core.formats import Family

DELIVERY_LIMIT = 20  # then the broker dead-letters the message; the outbox publishes a new one if it is still needed
TOPOLOGY_TIMEOUT_S = 10  # the first declaration creates 25 replicated queues


class Topology:
    """Declares everything once per connection, and again when something turns out to be missing."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.is_declared = False

    def forget(self) -> None:
        """Declare everything again before the next use."""
        self.is_declared = False

    async def ensure(self, connection: AbstractConnection) -> None:
        """Declare everything unless that has been done."""
        async with self._lock:
            if self.is_declared:
                return
            channel = await connection.channel()
            try:
                await self._declare(channel)
            finally:
                await channel.close()
            self.is_declared = True

    async def _declare(self, channel: AbstractChannel) -> None:
        events = await channel.declare_exchange(EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        dead = await channel.declare_exchange(DEAD_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        dead_letters = await channel.declare_queue(
            DEAD_LETTER_QUEUE, durable=True, arguments={"x-queue-type": "quorum"}
        )
        await dead_letters.bind(dead, "#")
        for family in Family:
            for lane in Lane:
                await self._declare_queue(channel, events, family, lane)

    async def _declare_queue(
        self, channel: AbstractChannel, events: AbstractExchange, family: Family, lane: Lane
    ) -> None:
        queue = await channel.declare_queue(
            queue_name(family, lane),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD_EXCHANGE,
            },
        )
        await queue.bind(events, f"conversion_created.{lane}.{family}")
