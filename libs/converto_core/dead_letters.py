"""Parked messages: what the broker set aside, kept as a record that tells why, and what the database said then.

Nothing in here is trusted: a message may be rubbish, as large as the broker allows, and made by anyone. A record is
never needed to finish a conversion, because the outbox sends its wake-up again anyhow.
"""

import base64
import hashlib
import uuid
from enum import StrEnum

import msgspec

from converto_core.conversion.record import Conversion, Status
from converto_core.events import ConversionCreated, Event, UnreadableEvent, decode

BODY_KEPT_BYTES = 64 * 1024  # a wake-up has less than 1 KiB; more than this helps nobody to understand a message
LONGEST_NAME = 255  # the protocol's own limit for routing keys and queue names
LONGEST_ID = 64


class Reason(StrEnum):
    """Why a message was set aside."""

    UNREADABLE = "unreadable"
    REJECTED = "rejected"
    DELIVERY_LIMIT = "delivery_limit"
    EXPIRED = "expired"
    MAXLEN = "maxlen"
    UNKNOWN = "unknown"


class DeadLetteredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the broker hands it over from the parked queue. `died_at` is the broker's time, in ms.

    `verdict` is the broker's own word for why; `queue` is where the message was before. Both are None when somebody
    published straight to the exchange of dead letters. `deliveries` is 0 when the broker does not say.
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
        """The same for each delivery of this dead letter, and no other's: a UUIDv7 of its time and its whole content.

        So a record that was stored just before its process died is not stored twice.
        """
        content = (self.routing_key, self.message_id, self.queue, self.verdict, self.deaths, self.died_at)
        digest = hashlib.sha256(msgspec.json.encode(content) + b"\n" + self.body).digest()
        time_bytes = (max(self.died_at, 0) & (2**48 - 1)).to_bytes(6, "big")
        marked = bytes((0x70 | digest[0] & 0x0F, digest[1], 0x80 | digest[2] & 0x3F))
        return str(uuid.UUID(bytes=time_bytes + marked + digest[3:10]))


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as the database keeps it. Times are milliseconds since the epoch, UTC.

    `explanation` says in words why it was set aside. `body` is text, or base64 where `is_binary`; of a large message
    only the beginning is kept (`is_truncated`). `status`, `token` and the error are what the conversion's record said
    when the message was found; all of them are None when there was no such conversion.
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
    wakeup_token: int | None = None
    size_bytes: int = 0
    body: str = ""
    is_binary: bool = False
    is_truncated: bool = False
    status: Status | None = None
    token: int | None = None
    error_code: str | None = None
    error_message: str | None = None

    def original(self) -> bytes | None:
        """The message as it was, byte by byte; None when only its beginning was kept."""
        if self.is_truncated:
            return None
        return base64.b64decode(self.body) if self.is_binary else self.body.encode()


def conversion_id_in(letter: DeadLetteredMessage) -> str | None:
    """Which conversion a message speaks of, also when it is of a newer version that cannot be read whole."""
    try:
        named = _named_decoder.decode(letter.body).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return named if 0 < len(named) <= LONGEST_ID and named.isascii() and named.isprintable() else None


def dead_letter_record(letter: DeadLetteredMessage, conversion: Conversion | None, *, now_ms: int) -> DeadLetter:
    """The record of a dead letter; `conversion` is what it speaks of, as it is now."""
    event, trouble = _read(letter.body)
    reason = Reason.UNREADABLE if event is None else _reason(letter.verdict)
    text, is_binary = _kept(letter.body)
    error_code, error_message = (None, None) if conversion is None else conversion.last_error
    return DeadLetter(
        id=letter.id,
        reason=reason,
        explanation=trouble or _explanation(reason, letter),
        routing_key=_clean(letter.routing_key, LONGEST_NAME),
        stored_at=now_ms,
        died_at=letter.died_at or now_ms,
        queue=_clean(letter.queue, LONGEST_NAME) if letter.queue else None,
        verdict=_clean(letter.verdict, LONGEST_NAME) if letter.verdict else None,
        deliveries=letter.deliveries,
        message_id=_clean(letter.message_id, LONGEST_NAME) if letter.message_id else None,
        conversion_id=conversion_id_in(letter),
        wakeup_token=event.token if isinstance(event, ConversionCreated) else None,
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
    """The one field that every event has had and will have."""

    id: str


_named_decoder = msgspec.json.Decoder(_Named)


def _read(body: bytes) -> tuple[Event | None, str]:
    try:
        event = decode(body)
    except UnreadableEvent as error:
        return None, _clean(f"The message cannot be read: {error}", 500)
    return event, "" if isinstance(event, ConversionCreated) else "It is a fact for live displays, not a wake-up"


def _reason(verdict: str | None) -> Reason:
    try:
        return Reason(verdict or Reason.UNKNOWN)
    except ValueError:
        return Reason.UNKNOWN


def _explanation(reason: Reason, letter: DeadLetteredMessage) -> str:
    times = f"{letter.deliveries} times" if letter.deliveries else "too often"
    return {
        Reason.REJECTED: "A worker rejected it",
        Reason.DELIVERY_LIMIT: f"It was delivered {times} and never acknowledged: workers died over it",
        Reason.EXPIRED: "It lay in its queue for longer than an administrator allows there",
        Reason.MAXLEN: "Its queue held more messages than an administrator allows there",
    }.get(reason, "The broker did not say why")


def _kept(body: bytes) -> tuple[str, bool]:
    """The beginning of a body as text, or as base64 when it is none; a cut in the middle of a letter is no reason."""
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
    return None if "\0" in text else text  # not every database keeps a NUL inside a text


def _clean(untrusted_text: str, longest: int) -> str:
    """Text that every database can keep."""
    return untrusted_text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:longest]
