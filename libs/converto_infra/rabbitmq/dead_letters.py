"""Takes dead letters from their queue on RabbitMQ, one at a time.

The broker describes a dead letter in the message's headers. They are untrusted: the sender can set them too.
"""

import functools
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import ConnectionInternalError

from converto_core.dead_letters import DeadLetteredMessage
from converto_core.errors import BusUnavailable
from converto_core.events import DEAD_LETTER_QUEUE
from converto_infra.rabbitmq.connection import Connection, get_one
from converto_infra.rabbitmq.declarations import DELIVERY_LIMIT
from converto_infra.rabbitmq.silent_queues import silence_of
from converto_infra.rabbitmq.topology import TOPOLOGY_TIMEOUT_S

# The broker accepts messages of up to 128 MiB, and one that cannot be fetched in time blocks all behind it.
FETCH_TIMEOUT_S = 30.0
MAX_COUNT = 2**31


class RabbitDeadLetterQueue:
    """`DeadLetterQueue`; closing its channel returns unaccepted letters to the queue."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: AbstractChannel | None = None

    async def take(self) -> "RabbitDeadLetterDelivery | None":
        """The next dead letter, or None when the queue is empty; raises `BusUnavailable`."""
        if self._connection.is_silent(DEAD_LETTER_QUEUE):
            raise silence_of(DEAD_LETTER_QUEUE)
        if self._channel is None:
            self._channel = await self._connection.run(self._connection.channel, timeout_s=TOPOLOGY_TIMEOUT_S)
        fetch = functools.partial(get_one, self._channel, DEAD_LETTER_QUEUE)
        try:
            message = await self._connection.run(fetch, timeout_s=FETCH_TIMEOUT_S)
        except BusUnavailable as error:
            if isinstance(error.__cause__, ConnectionInternalError):  # a late answer may only be a long one
                self._connection.leave_out_queue(DEAD_LETTER_QUEUE)
            raise
        return None if message is None else RabbitDeadLetterDelivery(self._connection, message)

    async def close(self) -> None:
        """Close the channel."""
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            with suppress(BusUnavailable):
                await self._connection.run(channel.close)


class RabbitDeadLetterDelivery:
    """`DeadLetterDelivery` over one AMQP message."""

    def __init__(self, connection: Connection, message: AbstractIncomingMessage) -> None:
        self._connection, self._message = connection, message

    @property
    def letter(self) -> DeadLetteredMessage:
        """The dead letter."""
        return dead_letter(self._message)

    async def accept(self) -> None:
        """Acknowledge."""
        with suppress(BusUnavailable):
            await self._connection.run(self._message.ack)


def dead_letter(message: AbstractIncomingMessage) -> DeadLetteredMessage:
    """A message with what the broker's headers say about it."""
    death = _last_death(message.headers)
    verdict = _text(death.get("reason"))
    return DeadLetteredMessage(
        body=message.body,
        routing_key=message.routing_key or "",
        message_id=message.message_id,
        queue=_text(death.get("queue")),
        verdict=verdict,
        deaths=_count(death.get("count")),
        # The broker restarts its delivery count in the dead letter queue, so the number is known for this verdict only.
        deliveries=DELIVERY_LIMIT + 1 if verdict == "delivery_limit" else 0,
        died_at=_milliseconds(death.get("time")),
    )


def _last_death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """The newest entry of `x-death`; empty when the message was published straight to the dead letter exchange."""
    deaths = headers.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths else {}
    return newest if isinstance(newest, Mapping) else {}


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else 0


def _milliseconds(value: Any) -> int:
    if not isinstance(value, datetime):
        return 0
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return max(int(moment.timestamp() * 1000), 0)
