"""Takes dead letters off the parked queue of RabbitMQ, one at a time. It knows nothing of conversions and of records.

What the broker writes into a message's headers is read with care: the sender of a message can write there too.
"""

import functools
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from converto_core.dead_letters import DeadLetteredMessage
from converto_core.errors import BusUnavailable
from converto_core.events import DEAD_LETTER_QUEUE
from converto_infra.rabbitmq.connection import DELIVERY_LIMIT, TOPOLOGY_TIMEOUT_S, Link, get_one

# The broker takes messages of up to 128 MiB from anyone, and one that could not be fetched would block all behind it.
FETCH_TIMEOUT_S = 30.0
MOST_COUNTED = 2**31


class RabbitDeadLetterQueue:
    """`DeadLetterQueue`: closing its channel gives back what was not accepted."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel: AbstractChannel | None = None

    async def take(self) -> "RabbitDeadLetterDelivery | None":
        """The next dead letter, or None when there is none; raises `BusUnavailable`."""
        if self._channel is None:
            self._channel = await self._link.run(self._link.channel, timeout_s=TOPOLOGY_TIMEOUT_S)
        fetch = functools.partial(get_one, self._channel, DEAD_LETTER_QUEUE)
        message = await self._link.run(fetch, timeout_s=FETCH_TIMEOUT_S)
        return None if message is None else RabbitDeadLetterDelivery(self._link, message)

    async def close(self) -> None:
        """End the channel."""
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            with suppress(BusUnavailable):
                await self._link.run(channel.close)


class RabbitDeadLetterDelivery:
    """`DeadLetterDelivery` over one AMQP message."""

    def __init__(self, link: Link, message: AbstractIncomingMessage) -> None:
        self._link, self._message = link, message

    @property
    def letter(self) -> DeadLetteredMessage:
        """What was set aside."""
        return dead_letter(self._message)

    async def accept(self) -> None:
        """Acknowledge."""
        with suppress(BusUnavailable):
            await self._link.run(self._message.ack)


def dead_letter(message: AbstractIncomingMessage) -> DeadLetteredMessage:
    """A message with what the broker noted on it."""
    death = _last_death(message.headers)
    verdict = _text(death.get("reason"))
    return DeadLetteredMessage(
        body=message.body,
        routing_key=message.routing_key or "",
        message_id=message.message_id,
        queue=_text(death.get("queue")),
        verdict=verdict,
        deaths=_count(death.get("count")),
        # The broker's own count begins anew in the parked queue, so the number is known for this verdict alone.
        deliveries=DELIVERY_LIMIT + 1 if verdict == "delivery_limit" else 0,
        died_at=_milliseconds(death.get("time")),
    )


def _last_death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """The newest entry stands first; without any, the message came straight to the exchange of dead letters."""
    deaths = headers.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths else {}
    return newest if isinstance(newest, Mapping) else {}


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value <= MOST_COUNTED else 0


def _milliseconds(value: Any) -> int:
    if not isinstance(value, datetime):
        return 0
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return max(int(moment.timestamp() * 1000), 0)
