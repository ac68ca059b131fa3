"""The event bus on RabbitMQ (3.10 to 4.x, Amazon MQ); the outbox repeats a message that is lost here."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aio_pika

from converto_core.conversion.lane_orders import lane_orders
from converto_core.conversion.record import Lane
from converto_core.events import ConversionCreated, ConversionEvent, encode, queue_name
from converto_core.formats import Family
from converto_infra.rabbitmq.connection import Connection, end_task
from converto_infra.rabbitmq.dead_letters import RabbitDeadLetterQueue
from converto_infra.rabbitmq.empty_queues import EmptyQueues
from converto_infra.rabbitmq.live_events import LiveEventReader, LiveEventSender
from converto_infra.rabbitmq.publisher import Publisher
from converto_infra.rabbitmq.refusals import Refusals
from converto_infra.rabbitmq.slot import RabbitSlot
from converto_infra.rabbitmq.topology import Topology
from converto_infra.resilience import broker_guard
from converto_infra.settings import Settings


class RabbitEventBus:
    """`EventBus` with one connection for publishing and one for consuming.

    A broker under memory or disk alarm stops reading from connections that publish. With a second connection a worker
    can still take and acknowledge messages.
    """

    def __init__(self, settings: Settings, *, look_at_all_s: float | None = None) -> None:
        """Every `look_at_all_s` seconds exchanges and queues are looked at, also those that nobody uses."""
        self.guard = broker_guard(settings)
        # The connection's own, shorter deadline has to pass first, because it also drops the connection.
        self._deadline_s = settings.rabbitmq_timeout_s + 1
        self._topology = Topology()
        self._refusals = Refusals()
        self._publishing = Connection(
            settings, self._topology, purpose="publish", refusals=self._refusals, look_at_all_s=look_at_all_s
        )
        self._consuming = Connection(settings, self._topology, purpose="consume")
        self._publisher = Publisher(self._publishing, is_confirmed=True, refusals=self._refusals)
        self._empty_queues = EmptyQueues()
        self._live_events = LiveEventSender(Publisher(self._publishing, is_confirmed=False))

    @classmethod
    def connect(cls, settings: Settings, *, look_at_all_s: float | None = None) -> "RabbitEventBus":
        """Create the bus; it connects on first use and reconnects after an outage."""
        return cls(settings, look_at_all_s=look_at_all_s)

    async def close(self) -> None:
        """Close the connections; unacknowledged messages return to their queues."""
        await self._live_events.close()
        await self._publishing.close()
        await self._consuming.close()

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with single exchanges and queues, or with publishing, and what to do.

        Known once the bus has connected, or has published.
        """
        return (*self._refusals.faults, *self._topology.faults)

    async def ping(self) -> None:
        """Raise `BusUnavailable` unless the broker answers."""
        await self.guard.run(self._publisher.ping, timeout_s=self._deadline_s)

    async def publish(self, event: ConversionCreated) -> None:
        """Publish a message and wait for the confirmation; raises `BusUnavailable`, also when no queue takes it."""
        message = aio_pika.Message(
            encode(event),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event.message_id,
            headers={} if event.trace is None else {"traceparent": event.trace},
        )
        await self.guard.run(lambda: self._publisher.send(message, event.routing_key), timeout_s=self._deadline_s)

    async def backlog(self, family: Family, lane: Lane) -> int:
        """How many messages of a queue are ready for delivery."""
        name = queue_name(family, lane)
        return await self.guard.run(lambda: self._publisher.count(name), timeout_s=self._deadline_s)

    async def publish_event(self, event: ConversionEvent) -> None:
        """Queue a live event for sending in the background; never raises and never waits for the broker."""
        self._live_events.put(event)

    @asynccontextmanager
    async def open_slot(self, families: Sequence[Family], *, quarantine: bool = False) -> AsyncIterator["RabbitSlot"]:
        """The consumer of one worker slot, on a channel of its own."""
        slot = RabbitSlot(self._consuming, families, lane_orders(quarantine=quarantine), self._empty_queues)
        try:
            yield slot
        finally:
            await slot.close()

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator["RabbitDeadLetterQueue"]:
        """The queue of dead letters, on a channel of its own."""
        queue = RabbitDeadLetterQueue(self._consuming)
        try:
            yield queue
        finally:
            await queue.close()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[ConversionEvent]]:
        """All live events from now on; resumes after the broker was down."""
        reader = LiveEventReader(self._consuming)
        reading = asyncio.create_task(reader.run())
        try:
            await reader.wait_until_bound()
            yield reader.arrived
        finally:
            await end_task(reading)
