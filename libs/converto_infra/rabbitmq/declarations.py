"""What has to be on the broker: exchanges, queues and bindings, each declared apart from the others."""

import re
from collections.abc import Iterator
from typing import Any

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel

from converto_core.conversion.record import Lane
from converto_core.events import DEAD_EXCHANGE, DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, queue_name
from converto_core.formats import Family

DELIVERY_LIMIT = 20  # then the broker dead-letters the message; the outbox publishes a new one if it is still needed

_DIFFERENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' .*received (?P<wanted>.+) but current is (?P<found>.+)$"
)
_VALUE = re.compile(r"^(?:the value )?'(?P<value>[^']*)'")


class ExchangeDeclaration(msgspec.Struct, frozen=True):
    """A durable topic exchange."""

    name: str
    kind = "exchange"

    async def declare(self, channel: AbstractChannel) -> None:
        """Create the exchange, or check that it is as it should be."""
        await channel.declare_exchange(self.name, aio_pika.ExchangeType.TOPIC, durable=True)

    async def find(self, channel: AbstractChannel) -> None:
        """Raise unless the exchange exists, whatever its type."""
        await channel.get_exchange(self.name, ensure=True)

    async def bind(self, channel: AbstractChannel) -> None:
        """Do nothing: queues are bound to exchanges."""


class QueueDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """A durable quorum queue and its binding."""

    name: str
    exchange: str
    routing_key: str
    arguments: dict[str, Any]
    kind = "queue"

    async def declare(self, channel: AbstractChannel) -> None:
        """Create the queue, or check that it is as it should be."""
        arguments = {"x-queue-type": "quorum", **self.arguments}
        await channel.declare_queue(self.name, durable=True, arguments=arguments)

    async def find(self, channel: AbstractChannel) -> None:
        """Raise unless the queue exists and can be used, whatever its type."""
        await channel.declare_queue(self.name, passive=True)

    async def bind(self, channel: AbstractChannel) -> None:
        """Bind the queue, also one that is not as it should be."""
        queue = await channel.get_queue(self.name, ensure=False)
        await queue.bind(self.exchange, self.routing_key)


Declaration = ExchangeDeclaration | QueueDeclaration


def all_declarations() -> Iterator[Declaration]:
    """Everything, exchanges before the queues that are bound to them."""
    yield ExchangeDeclaration(EVENTS_EXCHANGE)
    yield ExchangeDeclaration(DEAD_EXCHANGE)
    yield QueueDeclaration(name=DEAD_LETTER_QUEUE, exchange=DEAD_EXCHANGE, routing_key="#", arguments={})
    for family in Family:
        for lane in Lane:
            yield QueueDeclaration(
                name=queue_name(family, lane),
                exchange=EVENTS_EXCHANGE,
                routing_key=f"conversion_created.{lane}.{family}",
                arguments={"x-delivery-limit": DELIVERY_LIMIT, "x-dead-letter-exchange": DEAD_EXCHANGE},
            )


def is_stream(refusal: str) -> bool:
    """Whether the queue that exists is a stream: a worker that takes a message from it loses its whole connection."""
    different = _DIFFERENT.search(refusal)
    return different is not None and different["argument"] == "x-queue-type" and _value(different["found"]) == "stream"


def fault_text(declaration: Declaration, refusal: str, *, is_usable: bool) -> str:
    """What is wrong with an exchange or a queue, and what to do; `refusal` is what the broker said."""
    subject = f"{declaration.kind} {declaration.name}"
    meanwhile = "it is used as it is" if is_usable else "it is not used"
    if (different := _DIFFERENT.search(refusal)) is None:
        return f"{subject} cannot be declared: {refusal}; {meanwhile} until that is repaired"
    argument, wanted, found = different["argument"], _value(different["wanted"]), _value(different["found"])
    if argument == "x-queue-type":
        argument, found = "type", "classic" if found == "none" else found
    return (
        f"{subject} exists with {argument} {found} instead of {wanted}; {meanwhile}. Delete it, and it is created again"
    )


def _value(text: str) -> str:
    """The value in the broker's words, which differ between its versions: 'quorum', or the value 'quorum' of type …"""
    match = _VALUE.match(text)
    return match["value"] if match else text
