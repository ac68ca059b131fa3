"""Decides what can be done with a dead letter, from its body and the current state of its conversion."""

from enum import StrEnum

import msgspec

from converto_core.conversion.record import Conversion, Status
from converto_core.dead_letters import BODY_KEPT_BYTES, DeadLetter
from converto_core.events import ConversionCreated, UnreadableEvent, decode


class Resolution(StrEnum):
    """The state of a dead letter's conversion; only with `WAITS` can the message be requeued."""

    WAITS = "waits"
    SUPERSEDED = "superseded"
    ENDED = "ended"
    GONE = "gone"
    UNREADABLE = "unreadable"
    NO_MESSAGE = "no_wakeup"


class ResolvedDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter, its conversion as it is now, and what an administrator can do."""

    message: DeadLetter
    conversion: Conversion | None
    resolution: Resolution
    advice: str


def resolve(message: DeadLetter, conversion: Conversion | None) -> ResolvedDeadLetter:
    """Resolve a dead letter; the body is decoded again, because an updated server may read what an older could not."""
    resolution, advice = _of_body(message) or _of_conversion(conversion)
    return ResolvedDeadLetter(message=message, conversion=conversion, resolution=resolution, advice=advice)


def _of_body(message: DeadLetter) -> tuple[Resolution, str] | None:
    body = message.original()
    if body is None:
        advice = f"The message is larger than {BODY_KEPT_BYTES} bytes, so it is not a conversion message; drop it"
        return Resolution.UNREADABLE, advice
    try:
        event = decode(body)
    except UnreadableEvent as error:
        return (
            Resolution.UNREADABLE,
            f"The message cannot be read ({error}). Drop it, or update this server and requeue it",
        )
    if not isinstance(event, ConversionCreated):
        return Resolution.NO_MESSAGE, "The message is a live event, which starts no work; drop it"
    return None


def _of_conversion(conversion: Conversion | None) -> tuple[Resolution, str]:
    if conversion is None:
        return Resolution.GONE, "The conversion was deleted; drop the message"
    match conversion.status:
        case Status.PENDING:
            return Resolution.WAITS, "The conversion is pending; its message is sent when it is due, or now if requeued"
        case Status.FAILED | Status.CANCELLED | Status.EXPIRED:
            how = f"`converto retry {conversion.id}`"
            return Resolution.ENDED, f"The conversion is {conversion.status}; its owner can run it again with {how}"
        case Status.PROCESSING:
            return Resolution.SUPERSEDED, "A worker is running the conversion, so the message is not needed; drop it"
    return Resolution.SUPERSEDED, f"The conversion is {conversion.status}, so the message is not needed; drop it"
