"""Live events over RabbitMQ: sent in the background, received through a queue per process; some may be lost."""

import asyncio
from collections import deque
from contextlib import suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from converto_core.errors import BusUnavailable
from converto_core.events import EVENT_KEYS, EVENTS_EXCHANGE, ConversionEvent, UnreadableEvent, decode, encode
from converto_infra.event_buffer import MAX_EVENTS, EventBuffer
from converto_infra.rabbitmq.connection import BACK_OFF_LONGEST_S, BackOff, Connection, end_task, loss_of
from converto_infra.rabbitmq.publisher import Publisher
from converto_infra.rabbitmq.topology import TOPOLOGY_TIMEOUT_S

log = structlog.get_logger(__name__)


class LiveEventSender:
    """Sends events in the background from a bounded buffer that drops the oldest."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: deque[ConversionEvent] = deque(maxlen=MAX_EVENTS)
        self._sending: asyncio.Task[None] | None = None

    def put(self, event: ConversionEvent) -> None:
        """Queue an event for sending."""
        self._waiting.append(event)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def close(self) -> None:
        """Stop and drop unsent events; readers can always read the record."""
        if self._sending is not None:
            await end_task(self._sending)

    async def _send_all(self) -> None:
        pause = BackOff()
        while self._waiting:
            event = self._waiting.popleft()
            try:
                message = aio_pika.Message(encode(event), content_type="application/json")
                await self._publisher.send(message, event.routing_key)
                pause.reset()
            except BusUnavailable as error:
                await pause.wait("facts.not_sent", error)


class LiveEventReader:
    """An exclusive queue of this process, declared again after each loss, and a bounded buffer for its reader."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.arrived = EventBuffer()
        self._is_bound = asyncio.Event()
        self._channel: AbstractChannel | None = None

    async def run(self) -> None:
        """Subscribe, and again after each loss of the channel, until cancelled."""
        pause = BackOff()
        while True:
            try:
                lost = await self._connection.run(self._subscribe, timeout_s=TOPOLOGY_TIMEOUT_S)
                pause.reset()
                await lost
                await self._connection.run(self._close_channel)
            except BusUnavailable as error:
                await pause.wait("facts.not_received", error)

    async def wait_until_bound(self) -> None:
        """Wait for the first subscription, at most as long as a healthy broker needs; live events are optional."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_OFF_LONGEST_S):
                await self._is_bound.wait()

    async def _subscribe(self) -> asyncio.Future[None]:
        channel = self._channel = await self._connection.channel()
        lost = await loss_of(channel)
        queue = await channel.declare_queue("", exclusive=True, auto_delete=True)
        for routing_key in EVENT_KEYS:
            await queue.bind(EVENTS_EXCHANGE, routing_key)
        await queue.consume(self._keep, no_ack=True)
        self._is_bound.set()
        return lost

    async def _close_channel(self) -> None:
        """Close the channel if it is still open, as it is after its queue was deleted."""
        if self._channel is not None and not self._channel.is_closed:
            await self._channel.close()

    async def _keep(self, message: AbstractIncomingMessage) -> None:
        try:
            event = decode(message.body)
        except UnreadableEvent as error:
            log.warning("fact.unreadable", reason=str(error))
            return
        if isinstance(event, ConversionEvent):
            self.arrived.put(event)
