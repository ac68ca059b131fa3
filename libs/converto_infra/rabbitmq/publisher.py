"""One channel that publishes to the events exchange."""

import asyncio

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import DeliveryError, PublishError

from converto_core.errors import BusUnavailable
from converto_core.events import EVENTS_EXCHANGE
from converto_infra.rabbitmq.connection import Connection, is_silence, retrieve_exception
from converto_infra.rabbitmq.refusals import Refusals
from converto_infra.rabbitmq.silent_queues import silence_of

log = structlog.get_logger(__name__)


class Publisher:
    """Publishes on one channel, which is opened on first use and again when it is lost.

    With `is_confirmed`, each publish waits until the broker has stored the message and raises when no queue takes it.
    """

    def __init__(self, connection: Connection, *, is_confirmed: bool, refusals: Refusals | None = None) -> None:
        """`refusals` learns what the broker says against messages."""
        self._connection, self._is_confirmed = connection, is_confirmed
        self._refusals = refusals or Refusals()
        self._channel: AbstractChannel | None = None
        self._opening: asyncio.Task[AbstractChannel] | None = None
        self._generation = 0

    async def send(self, message: aio_pika.Message, routing_key: str) -> None:
        """Publish one message; raises `BusUnavailable`, at once for a queue that does not answer."""
        queue = self._connection.queue_of(routing_key)
        if queue is not None and self._connection.is_silent(queue):
            raise silence_of(queue)
        try:
            await self._connection.run(lambda: self._send(message, routing_key))
        except BusUnavailable as error:
            self._refusals.refused(error)
            if queue is not None and (is_silence(error) or is_nack(error)):
                self._connection.leave_out_queue(queue)
            raise
        self._refusals.confirmed()

    async def ping(self) -> None:
        """One round trip on the publishing connection; raises `BusUnavailable`."""

        async def call() -> None:
            channel = await self._open_channel()
            await channel.get_exchange(EVENTS_EXCHANGE, ensure=True)

        await self._connection.run(call)

    async def count(self, queue: str) -> int:
        """How many messages of a queue are ready for delivery; raises `BusUnavailable`, also for a missing queue."""

        async def call() -> int:
            channel = await self._connection.channel()  # a channel of its own, because a missing queue closes it
            try:
                found = await channel.declare_queue(queue, passive=True)
            finally:
                if not channel.is_closed:
                    await channel.close()
            return found.declaration_result.message_count or 0

        return await self._connection.run(call)

    async def _send(self, message: aio_pika.Message, routing_key: str) -> None:
        channel = await self._open_channel()
        exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
        try:
            await exchange.publish(message, routing_key, mandatory=self._is_confirmed)
        except PublishError as error:
            self._connection.forget_route(routing_key)  # so that the next attempt declares the missing queue
            log.error("wakeup.unroutable", routing_key=routing_key, message_id=message.message_id)
            raise BusUnavailable(detail=f"no queue takes {routing_key}") from error

    async def _open_channel(self) -> AbstractChannel:
        """The channel; callers that need a new one share it.

        It is opened in a task of its own, because a caller that held a lock meanwhile could be abandoned with it.
        """
        await self._connection.connected()
        is_stale = self._generation != self._connection.generation
        if not is_stale and self._channel is not None and not self._channel.is_closed:
            return self._channel
        if is_stale or self._opening is None or self._opening.done():
            self._generation, self._channel = self._connection.generation, None
            self._opening = asyncio.create_task(self._connection.run(self._new_channel))
            self._opening.add_done_callback(retrieve_exception)
        return await asyncio.shield(self._opening)

    async def _new_channel(self) -> AbstractChannel:
        generation = self._generation
        channel = await self._connection.channel(is_confirmed=self._is_confirmed)
        if generation == self._generation:
            self._channel = channel
        return channel


def is_nack(error: BusUnavailable) -> bool:
    """Whether the broker took the message but its queue did not store it."""
    return isinstance(error.__cause__, DeliveryError) and not isinstance(error.__cause__, PublishError)
