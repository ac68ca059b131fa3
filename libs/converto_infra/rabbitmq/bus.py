"""The event bus on RabbitMQ (3.10 to 4.x, Amazon MQ). Only the files named rabbitmq import aio-pika.

It decides nothing about conversions: a wake-up that gets lost here is sent again by the outbox.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aio_pika

from converto_core.conversion.record import Lane
from converto_core.events import ConversionCreated, ConversionEvent, encode, queue_name
from converto_core.formats import Family
from converto_infra.lane_orders import lane_orders
from converto_infra.rabbitmq.connection import Link, Outlet, Topology, end_task
from converto_infra.rabbitmq.dead_letters import RabbitDeadLetterQueue
from converto_infra.rabbitmq.empty_queues import EmptyQueues
from converto_infra.rabbitmq.live_events import LiveEventReader, LiveEventSender
from converto_infra.rabbitmq.slot import RabbitSlot
from converto_infra.resilience import broker_guard
from converto_infra.settings import Settings


class RabbitEventBus:
    """`EventBus` with one connection for publishing and one for consuming.

    Two, because a broker under memory or disk alarm stops reading from connections that publish, and a worker must be
    able to take and acknowledge work all the same.
    """

    def __init__(self, settings: Settings) -> None:
        self.guard = broker_guard(settings)
        self._deadline_s = settings.rabbitmq_timeout_s + 1  # the link's own deadline comes first: it mends the link
        topology = Topology()
        self._publishing = Link(settings, topology, purpose="publish")
        self._consuming = Link(settings, topology, purpose="consume")
        self._wakeups = Outlet(self._publishing, is_confirmed=True)
        self._lull = EmptyQueues()
        self._facts = LiveEventSender(Outlet(self._publishing, is_confirmed=False))

    @classmethod
    def connect(cls, settings: Settings) -> "RabbitEventBus":
        """Make the bus; connections are opened when they are first needed and again after the broker was away."""
        return cls(settings)

    async def close(self) -> None:
        """End the connections; unsettled wake-ups go back to their queues."""
        await self._facts.close()
        await self._publishing.close()
        await self._consuming.close()

    async def ping(self) -> None:
        """Raise `BusUnavailable` unless the broker answers."""
        await self.guard.run(self._wakeups.ping, timeout_s=self._deadline_s)

    async def publish(self, event: ConversionCreated) -> None:
        """Publish a wake-up and wait for the confirmation; raises `BusUnavailable` also when no queue takes it."""
        message = aio_pika.Message(
            encode(event),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event.message_id,
            headers={} if event.trace is None else {"traceparent": event.trace},
        )
        await self.guard.run(lambda: self._wakeups.send(message, event.routing_key), timeout_s=self._deadline_s)

    async def backlog(self, family: Family, lane: Lane) -> int:
        """How many wake-ups lie in a queue that nobody was handed yet."""
        name = queue_name(family, lane)
        return await self.guard.run(lambda: self._wakeups.count(name), timeout_s=self._deadline_s)

    async def publish_event(self, event: ConversionEvent) -> None:
        """Hand a fact to the sender and go on; never raises, never waits for the broker."""
        self._facts.put(event)

    @asynccontextmanager
    async def open_slot(self, families: Sequence[Family], *, quarantine: bool = False) -> AsyncIterator["RabbitSlot"]:
        """One slot's view of the queues, on a channel of its own."""
        slot = RabbitSlot(self._consuming, families, lane_orders(quarantine=quarantine), self._lull)
        try:
            yield slot
        finally:
            await slot.close()

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator["RabbitDeadLetterQueue"]:
        """The queue of dead letters, on a channel of its own."""
        source = RabbitDeadLetterQueue(self._consuming)
        try:
            yield source
        finally:
            await source.close()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[ConversionEvent]]:
        """All facts from now on; goes on by itself after the broker was away."""
        reader = LiveEventReader(self._consuming)
        reading = asyncio.create_task(reader.run())
        try:
            await reader.wait_until_bound()
            yield reader.arrived
        finally:
            await end_task(reading)
