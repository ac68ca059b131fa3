"""What the broker carries: messages for workers and live events for displays, with their encoding and routing keys.

Both are only hints: the record in the database is the truth. Bodies stay under 1 KiB.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.errors import ConvertoError
from converto_core.formats import Family

EVENTS_EXCHANGE = "converto.events"
DEAD_EXCHANGE = "converto.dead"
DEAD_LETTER_QUEUE = "conversions.parked"
VERSION = 1

# Anyone may have written a message in a queue: accept no longer id than ours and no larger token than a database holds.
Id = Annotated[str, Meta(min_length=1, max_length=64)]
Token = Annotated[int, Meta(ge=0, le=2**53)]


class UnreadableEvent(ConvertoError, code="event_unreadable"):
    """Raised when a message body is not an event, or is of a newer version."""


class ConversionCreated(msgspec.Struct, frozen=True, kw_only=True, tag="conversion_created"):
    """The message that a conversion is pending: a free worker may try to claim it with this token."""

    id: Id
    token: Token
    family: Family
    lane: Lane
    trace: str | None = None
    v: int = VERSION

    @property
    def message_id(self) -> str:
        """The same each time the message is published again."""
        return f"{self.id}:{self.token}"

    @property
    def routing_key(self) -> str:
        """`conversion_created.<lane>.<family>`."""
        return f"conversion_created.{self.lane}.{self.family}"


class ConversionEvent(msgspec.Struct, frozen=True, kw_only=True, tag="conversion_fact"):
    """A live event: the state of a conversion after a change. For displays only, never for decisions."""

    id: str
    owner: str
    file_id: str
    status: Status
    percent: float
    token: int
    beat: int
    at: int
    stage: str | None = None
    client_id: str | None = None
    v: int = VERSION

    @property
    def routing_key(self) -> str:
        """`conversion_<word>`, with the past-tense word of the status, such as `conversion_completed`."""
        return f"conversion_{_EVENT_WORD[self.status]}"


_EVENT_WORD = {
    Status.AWAITING_UPLOAD: "registered",
    Status.PENDING: "queued",
    Status.PROCESSING: "progressed",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
    Status.EXPIRED: "expired",
}
EVENT_KEYS = tuple(f"conversion_{word}" for word in _EVENT_WORD.values())

Event = ConversionCreated | ConversionEvent
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """The JSON of an event."""
    return _encoder.encode(event)


def decode(body: bytes) -> Event:
    """The event in a message body; raises `UnreadableEvent` for anything else, including newer versions."""
    try:
        event = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableEvent(f"not an event: {error}") from error
    if event.v > VERSION:
        raise UnreadableEvent(f"event version {event.v} is newer than {VERSION}")
    return event


def queue_name(family: Family, lane: Lane) -> str:
    """`conversions.<family>.<lane>`."""
    return f"conversions.{family}.{lane}"


def conversion_created(conversion: Conversion) -> ConversionCreated:
    """The message for a pending conversion; raises `ValueError` if it has no plan, and therefore no family, yet."""
    if conversion.family is None:
        raise ValueError(f"conversion {conversion.id} has no plan yet, so its queue is unknown")
    return ConversionCreated(
        id=conversion.id, token=conversion.token, family=conversion.family, lane=conversion.lane, trace=conversion.trace
    )


def conversion_event(conversion: Conversion) -> ConversionEvent:
    """The live event with the current state of a conversion."""
    return ConversionEvent(
        id=conversion.id,
        owner=conversion.owner,
        file_id=conversion.file_id,
        client_id=conversion.client_id,
        status=conversion.status,
        percent=conversion.percent,
        stage=conversion.stage,
        token=conversion.token,
        beat=conversion.beat,
        at=conversion.updated_at,
    )
