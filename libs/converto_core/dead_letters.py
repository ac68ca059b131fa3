"""Dead letters: messages that the broker gave up on, kept as records with the reason and the conversion's state.

Message contents are untrusted: anyone may have written them, and they may be as large as the broker allows. No
conversion depends on these records, because the outbox publishes its message again anyway.
"""

import base64
import hashlib
import uuid
from enum import StrEnum

import msgspec

from converto_core.conversion.record import Conversion, Status
from converto_core.events import ConversionCreated, Event, UnreadableEvent, decode

BODY_KEPT_BYTES = 64 * 1024  # a valid message has less than 1 KiB; more than this explains nothing
LONGEST_NAME = 255  # the limit of AMQP for routing keys and queue names
LONGEST_ID = 64


class Reason(StrEnum):
    """Why a message became a dead letter."""

    UNREADABLE = "unreadable"
    REJECTED = "rejected"
    DELIVERY_LIMIT = "delivery_limit"
    EXPIRED = "expired"
    MAXLEN = "maxlen"
    UNKNOWN = "unknown"


class DeadLetteredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as delivered from the dead letter queue. `died_at` is by the broker's clock (ms).

    `verdict` is the broker's own term for the reason, `queue` the queue it came from. Both are None when somebody
    published directly to the dead letter exchange. `deliveries` is 0 when the broker does not report it.
    """

    body: bytes
    routing_key: str
    message_id: str | None = None
    queue: str | None = None
    verdict: str | None = None
    deaths: int = 0
    deliveries: int = 0
    died_at: int = 0

    @property
    def id(self) -> str:
        """A UUIDv7 of its time and content: the same for each delivery of this dead letter and for no other.

        So a process that dies between storing and acknowledging it does not cause a second record.
        """
        content = (self.routing_key, self.message_id, self.queue, self.verdict, self.deaths, self.died_at)
        digest = hashlib.sha256(msgspec.json.encode(content) + b"\n" + self.body).digest()
        time_bytes = (max(self.died_at, 0) & (2**48 - 1)).to_bytes(6, "big")
        marked = bytes((0x70 | digest[0] & 0x0F, digest[1], 0x80 | digest[2] & 0x3F))
        return str(uuid.UUID(bytes=time_bytes + marked + digest[3:10]))


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as stored. Times are milliseconds since the epoch, UTC.

    `explanation` is the reason in words. `body` is text, or base64 if `is_binary`; only the beginning of a large
    message is kept (`is_truncated`). `status`, `token` and the error fields are copies from the conversion at the time
    of storing; all are None when the conversion did not exist.
    """

    id: str
    reason: Reason
    explanation: str
    routing_key: str
    stored_at: int
    died_at: int = 0
    queue: str | None = None
    verdict: str | None = None
    deliveries: int = 0
    message_id: str | None = None
    conversion_id: str | None = None
    message_token: int | None = msgspec.field(default=None, name="wakeup_token")  # the stored name
    size_bytes: int = 0
    body: str = ""
    is_binary: bool = False
    is_truncated: bool = False
    status: Status | None = None
    token: int | None = None
    error_code: str | None = None
    error_message: str | None = None

    def original(self) -> bytes | None:
        """The original message body; None when only its beginning was kept."""
        if self.is_truncated:
            return None
        return base64.b64decode(self.body) if self.is_binary else self.body.encode()


def conversion_id_in(letter: DeadLetteredMessage) -> str | None:
    """The conversion that a message names, even if the message is of a newer version and otherwise unreadable."""
    try:
        named = _named_decoder.decode(letter.body).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return named if 0 < len(named) <= LONGEST_ID and named.isascii() and named.isprintable() else None


def dead_letter_record(letter: DeadLetteredMessage, conversion: Conversion | None, *, now_ms: int) -> DeadLetter:
    """The record of a dead letter; `conversion` is the current record of the conversion that it names."""
    event, problem = _read(letter.body)
    reason = Reason.UNREADABLE if event is None else _reason(letter.verdict)
    text, is_binary = _kept(letter.body)
    error_code, error_message = (None, None) if conversion is None else conversion.last_error
    return DeadLetter(
        id=letter.id,
        reason=reason,
        explanation=problem or _explanation(reason, letter),
        routing_key=_clean(letter.routing_key, LONGEST_NAME),
        stored_at=now_ms,
        died_at=letter.died_at or now_ms,
        queue=_clean(letter.queue, LONGEST_NAME) if letter.queue else None,
        verdict=_clean(letter.verdict, LONGEST_NAME) if letter.verdict else None,
        deliveries=letter.deliveries,
        message_id=_clean(letter.message_id, LONGEST_NAME) if letter.message_id else None,
        conversion_id=conversion_id_in(letter),
        message_token=event.token if isinstance(event, ConversionCreated) else None,
        size_bytes=len(letter.body),
        body=text,
        is_binary=is_binary,
        is_truncated=len(letter.body) > BODY_KEPT_BYTES,
        status=None if conversion is None else conversion.status,
        token=None if conversion is None else conversion.token,
        error_code=error_code,
        error_message=error_message,
    )


class _Named(msgspec.Struct, frozen=True):
    """The one field that events of every version have."""

    id: str


_named_decoder = msgspec.json.Decoder(_Named)


def _read(body: bytes) -> tuple[Event | None, str]:
    try:
        event = decode(body)
    except UnreadableEvent as error:
        return None, _clean(f"The message cannot be read: {error}", 500)
    return event, "" if isinstance(event, ConversionCreated) else "It is a live event, not a message for workers"


def _reason(verdict: str | None) -> Reason:
    try:
        return Reason(verdict or Reason.UNKNOWN)
    except ValueError:
        return Reason.UNKNOWN


def _explanation(reason: Reason, letter: DeadLetteredMessage) -> str:
    times = f"{letter.deliveries} times" if letter.deliveries else "too often"
    return {
        Reason.REJECTED: "A worker rejected it",
        Reason.DELIVERY_LIMIT: f"It was delivered {times} and never acknowledged: workers died while handling it",
        Reason.EXPIRED: "It stayed in its queue longer than the time to live that an administrator set",
        Reason.MAXLEN: "Its queue exceeded the maximum length that an administrator set",
    }.get(reason, "The broker did not report a reason")


def _kept(body: bytes) -> tuple[str, bool]:
    """The beginning of a body as text, else as base64; a character cut in half at the end still counts as text."""
    head = body[:BODY_KEPT_BYTES]
    text = _as_text(head, is_cut=len(body) > BODY_KEPT_BYTES)
    return (base64.b64encode(head).decode(), True) if text is None else (text, False)


def _as_text(head: bytes, *, is_cut: bool) -> str | None:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if not is_cut or error.start < len(head) - 3:
            return None
        text = head[: error.start].decode()
    return None if "\0" in text else text  # not every database can store NUL in text


def _clean(untrusted_text: str, longest: int) -> str:
    """Text that every database can store."""
    return untrusted_text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:longest]
