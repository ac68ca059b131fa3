"""The history of a conversion: one entry per event.

An entry is made from the record after the change, which also numbers it. Record and entry are written separately, so a
process that is killed in between leaves a number without an entry; `History.missing` reports such gaps.
"""

import msgspec

from converto_core.conversion.record import Conversion, HistoryEvent, Lane, Status


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `number` counts from 1 within a conversion; `at` is milliseconds since the epoch, UTC."""

    id: str
    conversion_id: str
    owner: str
    number: int
    event: HistoryEvent
    status: Status
    at: int
    token: int = 0
    attempt: int = 0
    lost: int = 0
    lane: Lane = Lane.NORMAL
    worker: str | None = None
    code: str | None = None
    message: str | None = None


class History(msgspec.Struct, frozen=True):
    """The known entries of a conversion, oldest first, and how many are missing between them."""

    entries: tuple[Entry, ...]
    missing: int


def entry_of(after: Conversion) -> Entry:
    """The entry of the latest event, from the record after the change."""
    code, message = _reason(after)
    return Entry(
        id=f"{after.id}:{after.changes:06d}",
        conversion_id=after.id,
        owner=after.owner,
        number=after.changes,
        event=after.last_event,
        status=after.status,
        at=after.updated_at,
        token=after.token,
        attempt=after.attempt,
        lost=after.lost,
        lane=after.lane,
        worker=after.worker,
        code=code,
        message=message,
    )


def history_of(conversion: Conversion, written: list[Entry]) -> History:
    """The written entries; where the first or the latest is missing, it is made from the record."""
    known = {entry.number: entry for entry in written}
    known.setdefault(1, _created(conversion))
    known.setdefault(conversion.changes, entry_of(conversion))
    newest = max(known)
    return History(tuple(known[number] for number in sorted(known)), missing=newest - len(known))


def _created(conversion: Conversion) -> Entry:
    return Entry(
        id=f"{conversion.id}:{1:06d}",
        conversion_id=conversion.id,
        owner=conversion.owner,
        number=1,
        event=HistoryEvent.CREATED,
        status=Status.AWAITING_UPLOAD,
        at=conversion.created_at,
    )


def _reason(after: Conversion) -> tuple[str | None, str | None]:
    """Code and message of the event: of a failed attempt its own error, else those of the record."""
    if after.last_event is HistoryEvent.ATTEMPT_FAILED and after.errors:
        return after.errors[-1].code, after.errors[-1].message
    return after.error_code, after.error_message
