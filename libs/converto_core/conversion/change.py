"""One conditional update of a conversion: its conditions and its effects.

The field names of `Conversion` appear here once more, so a misspelt field in a change is a type error.
"""

from typing import TypedDict

import msgspec

from converto_core.conversion.record import Attempt, HistoryEvent, Lane, Output, Status, Step
from converto_core.formats import Family


class Conditions(TypedDict, total=False):
    """Fields whose current values a change may require."""

    owner: str
    token: int
    beat: int
    publish_due: int | None
    wait_ms: int | None
    waits_for: str | None
    cancel_requested: bool
    result_lost_at: int | None


class Assignments(TypedDict, total=False):
    """Fields that a change may set; None is a value, a missing key leaves the field as it is."""

    last_event: HistoryEvent
    source_format: str | None
    source_sha256: str | None
    plan: tuple[Step, ...]
    family: Family
    lane: Lane
    percent: float
    stage: str | None
    attempt: int
    lost: int
    worker: str | None
    publish_due: int | None
    wait_ms: int | None
    published: int
    cancel_requested: bool
    cache_key: str | None
    waits_for: str | None
    cached_from: str | None
    engine_versions: dict[str, str]
    outputs: tuple[Output, ...]
    notes: tuple[str, ...]
    errors: tuple[Attempt, ...]
    error_code: str | None
    error_message: str | None
    is_hopeless: bool
    has_password: bool
    sealed_password: str | None
    started_at: int
    updated_at: int
    completed_at: int | None
    result_lost_at: int | None


class Increments(TypedDict, total=False):
    """Counters that a change may increase or, by a negative amount, decrease."""

    changes: int
    token: int
    beat: int
    attempt: int
    lost: int
    published: int
    followers: int


class Minimums(TypedDict, total=False):
    """Fields that a change may only raise."""

    percent: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One conditional update of one conversion: a store applies it whole, or returns None and changes nothing.

    Conditions: `id`, a status in `expected` and every field in `where`. Effects: `status` becomes `to`, then `assign`
    sets values, `increase` adds, and `raise_to` sets the larger of old and new. A change with an `event` gets an entry
    in the history; the same update increments `changes`, which numbers the entries.
    """

    id: str
    expected: frozenset[Status]
    to: Status
    where: Conditions = {}
    assign: Assignments = {}
    increase: Increments = {}
    raise_to: Minimums = {}
    event: HistoryEvent | None = None


def ended(now_ms: int) -> Assignments:
    """What every end of a conversion sets: whatever the end is, the password of the source goes with it."""
    return {"completed_at": now_ms, "updated_at": now_ms, "sealed_password": None}


def completed(
    outputs: tuple[Output, ...],
    engine_versions: dict[str, str],
    notes: tuple[str, ...],
    *,
    cached_from: str | None,
    now_ms: int,
) -> Assignments:
    """A complete result, whether converted or copied."""
    return {
        **ended(now_ms),
        "outputs": outputs,
        "notes": notes,
        "engine_versions": engine_versions,
        "cached_from": cached_from,
        "percent": 100.0,
    }


def requeued(lane: Lane, now_ms: int) -> Assignments:
    """Back to pending: no worker holds it, and its message is due now."""
    return {
        "lane": lane,
        "stage": None,
        "worker": None,
        "publish_due": now_ms,
        "wait_ms": None,  # of an earlier attempt that was cancelled while it waited
        "published": 0,
        "updated_at": now_ms,
    }


def expedited(lane: Lane) -> Lane:
    """The high lane for a conversion that has queued once already; quarantine stays quarantine."""
    return lane if lane is Lane.QUARANTINE else Lane.HIGH
