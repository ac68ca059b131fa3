"""The history of a conversion: one entry for each thing that happened to it. Pure; it knows no database.

Entries are made from the record as it is after a change, and numbered by it. They are written beside the record, not
with it, so a process that is killed in between can leave a number without an entry: the gap is visible and said.
"""

import msgspec

from converto_core.conversion.record import Conversion, HistoryEvent, Lane, Status


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `number` counts from 1 within a conversion; `at` is in milliseconds since 1970, UTC."""

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
    """All that is known of a conversion's way, oldest first, and how many entries are missing in between."""

    entries: tuple[Entry, ...]
    missing: int


def entry_of(after: Conversion) -> Entry:
    """The entry for what has just happened, from the record after it."""
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
    """The written entries, with the first and the newest one made from the record itself where they are not there."""
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
    """Why: of a failed attempt the newest error, else what the record says."""
    if after.last_event is HistoryEvent.ATTEMPT_FAILED and after.errors:
        return after.errors[-1].code, after.errors[-1].message
    return after.error_code, after.error_message
