"""What becomes of a parked message, judged by its body and its conversion as they are now. It knows no store."""

from enum import StrEnum

import msgspec

from converto_core.conversion.record import Conversion, Status
from converto_core.dead_letters import BODY_KEPT_BYTES, DeadLetter
from converto_core.events import ConversionCreated, UnreadableEvent, decode


class Resolution(StrEnum):
    """What becomes of a parked message's conversion."""

    WAITS = "waits"
    SUPERSEDED = "superseded"
    ENDED = "ended"
    GONE = "gone"
    UNREADABLE = "unreadable"
    NO_WAKEUP = "no_wakeup"


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A parked message, its conversion as it is now, and what to do. Only one that waits can be requeued."""

    message: DeadLetter
    conversion: Conversion | None
    outlook: Resolution
    advice: str


def explained(message: DeadLetter, conversion: Conversion | None) -> Explained:
    """What became of a message, by the code and the record as they are now."""
    outlook, advice = _of_body(message) or _of_conversion(conversion)
    return Explained(message=message, conversion=conversion, outlook=outlook, advice=advice)


def _of_body(message: DeadLetter) -> tuple[Resolution, str] | None:
    """Judged anew at each look: a server that was updated since may read what an older one could not."""
    body = message.original()
    if body is None:
        return Resolution.UNREADABLE, f"It has more than {BODY_KEPT_BYTES} bytes, and no wake-up is that large; drop it"
    try:
        event = decode(body)
    except UnreadableEvent as error:
        return Resolution.UNREADABLE, f"It cannot be read ({error}); drop it, or update this server and requeue it then"
    if not isinstance(event, ConversionCreated):
        return Resolution.NO_WAKEUP, "It is a fact for live displays and wakes nobody; drop it"
    return None


def _of_conversion(conversion: Conversion | None) -> tuple[Resolution, str]:
    if conversion is None:
        return Resolution.GONE, "Its conversion was deleted; drop it"
    match conversion.status:
        case Status.PENDING:
            return Resolution.WAITS, "Its wake-up is sent again by itself when it is due; requeueing sends it now"
        case Status.FAILED | Status.CANCELLED | Status.EXPIRED:
            how = f"`converto retry {conversion.id}`"
            return Resolution.ENDED, f"Its conversion is {conversion.status}; its owner can run it again with {how}"
        case Status.PROCESSING:
            return Resolution.SUPERSEDED, "A worker runs its conversion now, so it has to wake nobody; drop it"
    return Resolution.SUPERSEDED, f"Its conversion is {conversion.status}, so it has to wake nobody; drop it"
