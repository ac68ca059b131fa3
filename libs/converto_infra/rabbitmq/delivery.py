"""One message that was delivered to a worker slot, and how it is settled."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from aio_pika.abc import AbstractIncomingMessage

from converto_core.errors import BusUnavailable
from converto_core.events import ConversionCreated, UnreadableEvent, decode
from converto_infra.rabbitmq.connection import Connection

log = structlog.get_logger(__name__)


class RabbitDelivery:
    """`Delivery`: the first settlement counts. After the channel is lost it does nothing: the database decides."""

    def __init__(self, connection: Connection, message: AbstractIncomingMessage, event: ConversionCreated) -> None:
        self._connection, self._message, self._event = connection, message, event
        self._is_settled = False

    @property
    def event(self) -> ConversionCreated:
        """The event in the message."""
        return self._event

    async def accept(self) -> None:
        """Acknowledge."""
        await self._settle(self._message.ack)

    async def release(self) -> None:
        """Return the message to its queue."""
        await self._settle(lambda: self._message.nack(requeue=True))

    async def _settle(self, settle: Callable[[], Awaitable[None]]) -> None:
        if self._is_settled:
            return
        self._is_settled = True
        with suppress(BusUnavailable):
            await self._connection.run(settle)


async def read_delivery(connection: Connection, message: AbstractIncomingMessage) -> RabbitDelivery | None:
    """The delivery of a message; None for an unreadable one, which is rejected and so becomes a dead letter."""
    try:
        event = decode(message.body)
        if isinstance(event, ConversionCreated):
            return RabbitDelivery(connection, message, event)
        reason = "not a conversion_created message"
    except UnreadableEvent as error:
        reason = str(error)
    log.error("wakeup.parked", reason=reason, message_id=message.message_id)
    with suppress(BusUnavailable):
        await connection.run(lambda: message.reject(requeue=False))
    return None
