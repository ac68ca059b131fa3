"""Facts over RabbitMQ: sent in the background, received through a queue of this process. Both may lose some."""

import asyncio
from collections import deque
from contextlib import suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from converto_core.errors import BusUnavailable
from converto_core.events import EVENT_KEYS, EVENTS_EXCHANGE, ConversionEvent, UnreadableEvent, decode, encode
from converto_infra.event_buffer import FACTS_KEPT, EventBuffer
from converto_infra.rabbitmq.connection import (
    BACK_OFF_LONGEST_S,
    TOPOLOGY_TIMEOUT_S,
    BackOff,
    Link,
    Outlet,
    end_task,
    loss_of,
)

log = structlog.get_logger(__name__)


class LiveEventSender:
    """Sends facts in the background from a bounded buffer: the newest are worth most."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._waiting: deque[ConversionEvent] = deque(maxlen=FACTS_KEPT)
        self._sending: asyncio.Task[None] | None = None

    def put(self, event: ConversionEvent) -> None:
        """Hand a fact over; the oldest goes when too many wait."""
        self._waiting.append(event)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def close(self) -> None:
        """Drop what has not left yet: facts are hints, the record is the truth."""
        if self._sending is not None:
            await end_task(self._sending)

    async def _send_all(self) -> None:
        pause = BackOff()
        while self._waiting:
            event = self._waiting.popleft()
            try:
                message = aio_pika.Message(encode(event), content_type="application/json")
                await self._outlet.send(message, event.routing_key)
                pause.reset()
            except BusUnavailable as error:
                await pause.wait("facts.not_sent", error)


class LiveEventReader:
    """An exclusive queue for this process, made anew after each loss, and a bounded buffer in front of the reader."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.arrived = EventBuffer()
        self._is_bound = asyncio.Event()
        self._channel: AbstractChannel | None = None

    async def run(self) -> None:
        """Subscribe, wait for the loss of the channel, and again, until cancelled."""
        pause = BackOff()
        while True:
            try:
                lost = await self._link.run(self._subscribe, timeout_s=TOPOLOGY_TIMEOUT_S)
                pause.reset()
                await lost.wait()
                await self._link.run(self._leave)
            except BusUnavailable as error:
                await pause.wait("facts.not_received", error)

    async def wait_until_bound(self) -> None:
        """Wait for the first subscription, but not longer than a live broker takes: live facts are no must."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_OFF_LONGEST_S):
                await self._is_bound.wait()

    async def _subscribe(self) -> asyncio.Event:
        channel = self._channel = await self._link.channel()
        lost = await loss_of(channel)
        queue = await channel.declare_queue("", exclusive=True, auto_delete=True)
        for routing_key in EVENT_KEYS:
            await queue.bind(EVENTS_EXCHANGE, routing_key)
        await queue.consume(self._keep, no_ack=True)
        self._is_bound.set()
        return lost

    async def _leave(self) -> None:
        """Close a channel whose queue was deleted; one that is closed already stays so."""
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
