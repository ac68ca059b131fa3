"""Every change that may happen to a conversion: pure data, no clock, no database.

Each function returns a `Change`: one conditional update that a store applies whole or not at all. So the rules of the
state machine live here once, and both twins of the store only have to be honest about conditions.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from converto_core.conversion.record import TRANSITIONS, Attempt, Conversion, HistoryEvent, Lane, Output, Status, Step
from converto_core.errors import ForbiddenTransition
from converto_core.formats import Family

AT_ONCE_MS = 0
"""A date that is over by every clock: the one a worker writes, because its own may be an hour ahead."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One conditional update of one conversion: a store applies it whole, or returns None and changes nothing.

    Conditions: `id`, `expected` (one of these statuses) and every entry of `where`. Effects: status becomes `to`, then
    `assign` sets values (None included), `increase` adds, `raise_to` sets to the larger of old and new. What is worth a
    line in the history has an `event`; the record then counts it in the same update.
    """

    id: str
    expected: frozenset[Status]
    to: Status
    where: dict[str, Any] = {}
    assign: dict[str, Any] = {}
    increase: dict[str, int] = {}
    raise_to: dict[str, float] = {}
    event: HistoryEvent | None = None


def transition(
    conversion_id: str,
    expected: Iterable[Status],
    to: Status,
    *,
    where: Mapping[str, Any] | None = None,
    assign: Mapping[str, Any] | None = None,
    increase: Mapping[str, int] | None = None,
    raise_to: Mapping[str, float] | None = None,
    event: HistoryEvent | None = None,
) -> Change:
    """The only way to make a `Change`: raises `ForbiddenTransition` when the table does not know the step."""
    expected = frozenset(expected)
    for status in expected:
        if to not in TRANSITIONS[status]:
            raise ForbiddenTransition(f"{status} -> {to} is not a step of the state machine")
    counted = {"changes": 1} if event else {}
    told = {"last_event": event} if event else {}
    return Change(
        id=conversion_id,
        expected=expected,
        to=to,
        where=dict(where or {}),
        assign={**(assign or {}), **told},
        increase={**(increase or {}), **counted},
        raise_to=dict(raise_to or {}),
        event=event,
    )


def confirm(
    conversion: Conversion, *, source_format: str, plan: tuple[Step, ...], family: Family, now_ms: int
) -> Change:
    """awaiting_upload → pending: the bytes are there and their type is known; the wake-up is due at once."""
    return transition(
        conversion.id,
        {Status.AWAITING_UPLOAD},
        Status.PENDING,
        assign={
            "source_format": source_format,
            "plan": plan,
            "family": family,
            "publish_due": now_ms,
            "updated_at": now_ms,
        },
        event=HistoryEvent.QUEUED,
    )


def complete_from_cache(
    conversion: Conversion,
    *,
    source_format: str,
    plan: tuple[Step, ...],
    family: Family,
    outputs: tuple[Output, ...],
    made: Conversion,
    now_ms: int,
) -> Change:
    """awaiting_upload → completed: the bytes are there, and `outputs` are copies of what was `made` of the same."""
    return transition(
        conversion.id,
        {Status.AWAITING_UPLOAD},
        Status.COMPLETED,
        where={"token": conversion.token},
        assign={
            "source_format": source_format,
            "plan": plan,
            "family": family,
            "source_sha256": made.source_sha256,
            "cache_key": made.cache_key,
            **_completed(outputs, made.engine_versions, made.notes, cached_from=made.id, now_ms=now_ms),
        },
        event=HistoryEvent.COMPLETED,
    )


def refuse(conversion: Conversion, *, code: str, message: str, now_ms: int, source_format: str | None) -> Change:
    """awaiting_upload → failed: the bytes are there but can never be converted as asked."""
    return transition(
        conversion.id,
        {Status.AWAITING_UPLOAD},
        Status.FAILED,
        assign={
            "source_format": source_format,
            "error_code": code,
            "error_message": message,
            "errors": (*conversion.errors, Attempt(attempt=0, code=code, message=message, at=now_ms)),
            "completed_at": now_ms,
            "updated_at": now_ms,
        },
        event=HistoryEvent.REFUSED,
    )


def expire_upload(conversion: Conversion, *, now_ms: int) -> Change:
    """awaiting_upload → expired: the bytes never came."""
    message = "The file was never uploaded"
    return transition(
        conversion.id,
        {Status.AWAITING_UPLOAD},
        Status.EXPIRED,
        assign={
            "error_code": "upload_abandoned",
            "error_message": message,
            "completed_at": now_ms,
            "updated_at": now_ms,
        },
        event=HistoryEvent.UPLOAD_EXPIRED,
    )


def published(conversion: Conversion, *, next_due_ms: int) -> Change:
    """pending → pending: the broker confirmed the wake-up; it leaves again at `next_due_ms` if nobody claimed it."""
    return transition(
        conversion.id,
        {Status.PENDING},
        Status.PENDING,
        where={"token": conversion.token, "publish_due": conversion.publish_due},
        assign={"publish_due": next_due_ms},
        increase={"published": 1},
    )


def republish_now(conversion: Conversion, *, now_ms: int) -> Change:
    """pending → pending: its confirmed wake-up is not in its queue any more, so the next one is due now."""
    return transition(
        conversion.id,
        {Status.PENDING},
        Status.PENDING,
        where={"token": conversion.token, "publish_due": conversion.publish_due},
        assign={"publish_due": now_ms},
    )


def schedule_publish(conversion: Conversion, *, due_ms: int) -> Change:
    """pending → pending: the wait that a worker asked for becomes a date, by the clock that will look at it again."""
    return transition(
        conversion.id,
        {Status.PENDING},
        Status.PENDING,
        where={"token": conversion.token, "publish_due": conversion.publish_due, "wait_ms": conversion.wait_ms},
        assign={"publish_due": due_ms, "wait_ms": None},
    )


def claim(conversion_id: str, *, token: int, worker: str, now_ms: int) -> Change:
    """pending → processing: one of many workers wins; its token fences all others out.

    `token` is the one in the message: a wake-up from before a retry finds a grown token and claims nothing.
    """
    return transition(
        conversion_id,
        {Status.PENDING},
        Status.PROCESSING,
        where={"token": token, "cancel_requested": False},
        assign={
            "worker": worker,
            "started_at": now_ms,
            "updated_at": now_ms,
            "completed_at": None,
            "publish_due": None,
            "wait_ms": None,
            "published": 0,
            "stage": "starting",
            "percent": 0.0,
            "error_code": None,
            "error_message": None,
        },
        increase={"token": 1, "attempt": 1, "beat": 1},
        event=HistoryEvent.STARTED,
    )


def beat(conversion_id: str, *, token: int, now_ms: int, percent: float = 0.0, stage: str | None = None) -> Change:
    """processing → processing: the worker lives; percent only grows."""
    assign: dict[str, Any] = {"updated_at": now_ms}
    if stage is not None:
        assign["stage"] = stage
    return transition(
        conversion_id,
        {Status.PROCESSING},
        Status.PROCESSING,
        where={"token": token},
        assign=assign,
        increase={"beat": 1},
        raise_to={"percent": min(max(percent, 0.0), 100.0)},
    )


def record_source(conversion: Conversion, *, source_sha256: str, cache_key: str | None, now_ms: int) -> Change:
    """processing → processing: the worker has hashed the very bytes it is going to convert."""
    return transition(
        conversion.id,
        {Status.PROCESSING},
        Status.PROCESSING,
        where={"token": conversion.token},
        assign={"source_sha256": source_sha256, "cache_key": cache_key, "updated_at": now_ms},
    )


def complete(
    conversion: Conversion,
    *,
    outputs: tuple[Output, ...],
    engine_versions: dict[str, str],
    now_ms: int,
    notes: tuple[str, ...] = (),
    cached_from: str | None = None,
) -> Change:
    """processing → completed: the outputs become visible by this one update and by nothing else.

    `cached_from` is the conversion they were copied from, None when an engine ran.
    """
    return transition(
        conversion.id,
        {Status.PROCESSING},
        Status.COMPLETED,
        where={"token": conversion.token},
        assign={
            **_completed(outputs, engine_versions, notes, cached_from=cached_from, now_ms=now_ms),
            "waits_for": None,
            "stage": None,
            "worker": None,
            "cancel_requested": False,
            "error_code": None,
            "error_message": None,
        },
        event=HistoryEvent.COMPLETED,
    )


def fail(
    conversion: Conversion,
    *,
    code: str,
    message: str,
    now_ms: int,
    beat_seen: int | None = None,
    is_hopeless: bool = False,
) -> Change:
    """processing → failed: trying again cannot help (`is_hopeless`), or has been tried often enough."""
    return transition(
        conversion.id,
        {Status.PROCESSING},
        Status.FAILED,
        where=_lease(conversion, beat_seen),
        assign={
            "error_code": code,
            "error_message": message,
            "is_hopeless": is_hopeless,
            "errors": _with_error(conversion, code, message, now_ms),
            "waits_for": None,
            "stage": None,
            "worker": None,
            "cancel_requested": False,
            "completed_at": now_ms,
            "updated_at": now_ms,
        },
        event=HistoryEvent.FAILED,
    )


def retry_later(conversion: Conversion, *, code: str, message: str, wait_ms: int, now_ms: int) -> Change:
    """processing → pending: the engine failed in a way that may pass; the next attempt leaves after `wait_ms`."""
    return transition(
        conversion.id,
        {Status.PROCESSING},
        Status.PENDING,
        where={"token": conversion.token},
        assign={
            "errors": _with_error(conversion, code, message, now_ms),
            "stage": "waiting to try again",
            "waits_for": None,
            "worker": None,
            "publish_due": AT_ONCE_MS,
            "wait_ms": wait_ms,
            "updated_at": now_ms,
        },
        event=HistoryEvent.ATTEMPT_FAILED,
    )


def hand_back(conversion: Conversion, *, now_ms: int) -> Change:
    """processing → pending: the worker stops in good order; the attempt is not charged."""
    return transition(
        conversion.id,
        {Status.PROCESSING},
        Status.PENDING,
        where={"token": conversion.token},
        assign={**_back_in_line(_to_the_front(conversion.lane), now_ms), "publish_due": AT_ONCE_MS},
        increase={"attempt": -1},
        event=HistoryEvent.HANDED_BACK,
    )


def wait_for_leader(conversion: Conversion, *, cache_key: str, wait_ms: int, now_ms: int) -> Change:
    """processing → pending: another conversion makes the same result now; nothing is charged.

    Whoever makes it wakes this one at the end; after `wait_ms` it looks for itself.
    """
    return transition(
        conversion.id,
        {Status.PROCESSING},
        Status.PENDING,
        where={"token": conversion.token},
        assign={
            **_back_in_line(conversion.lane, now_ms),
            "waits_for": cache_key,
            "publish_due": AT_ONCE_MS,
            "wait_ms": wait_ms,
            "stage": "waiting for the same conversion to end",
        },
        increase={"attempt": -1},
        event=HistoryEvent.WAITS_FOR_ANOTHER,
    )


def add_waiter(conversion_id: str, *, token: int) -> Change:
    """processing → processing: another one waits for this result. Refused means: it has ended, so wait no longer."""
    return transition(
        conversion_id, {Status.PROCESSING}, Status.PROCESSING, where={"token": token}, increase={"followers": 1}
    )


def end_wait(conversion: Conversion, *, wait_ms: int, now_ms: int) -> Change:
    """pending → pending: what it waited for has ended. It has stood in line once, so it goes to the front now.

    Whoever wakes it sends the wake-up, too; after `wait_ms` the outbox sends one.
    """
    return transition(
        conversion.id,
        {Status.PENDING},
        Status.PENDING,
        where={"token": conversion.token, "waits_for": conversion.waits_for},
        assign={
            "lane": _to_the_front(conversion.lane),
            "publish_due": AT_ONCE_MS,
            "wait_ms": wait_ms,
            "updated_at": now_ms,
        },
    )


def worker_lost(conversion: Conversion, *, now_ms: int) -> Change:
    """processing → pending: no beat for one lease, so the worker is gone. From the second loss on it runs alone."""
    lane = Lane.HIGH if conversion.lost == 0 else Lane.QUARANTINE
    return transition(
        conversion.id,
        {Status.PROCESSING},
        Status.PENDING,
        where=_lease(conversion, conversion.beat),
        assign=_back_in_line(lane, now_ms),
        increase={"attempt": -1, "lost": 1},
        event=HistoryEvent.WORKER_LOST,
    )


def cancel_waiting(conversion_id: str, *, owner: str, now_ms: int) -> Change:
    """awaiting_upload or pending → cancelled: nobody works on it, so it is done at once."""
    return transition(
        conversion_id,
        {Status.AWAITING_UPLOAD, Status.PENDING},
        Status.CANCELLED,
        where={"owner": owner},
        assign={"completed_at": now_ms, "updated_at": now_ms, "publish_due": None, "stage": None},
        event=HistoryEvent.CANCELLED,
    )


def request_cancel(conversion_id: str, *, owner: str, now_ms: int) -> Change:
    """processing → processing with a flag: the worker sees it at its next beat."""
    return transition(
        conversion_id,
        {Status.PROCESSING},
        Status.PROCESSING,
        where={"owner": owner},
        assign={"cancel_requested": True, "updated_at": now_ms},
        event=HistoryEvent.CANCEL_REQUESTED,
    )


def cancel_running(conversion: Conversion, *, now_ms: int, beat_seen: int | None = None) -> Change:
    """processing → cancelled: the worker killed its child, or vanished after a cancel was asked for."""
    return transition(
        conversion.id,
        {Status.PROCESSING},
        Status.CANCELLED,
        where=_lease(conversion, beat_seen),
        assign={
            "stage": None,
            "worker": None,
            "cancel_requested": False,
            "completed_at": now_ms,
            "updated_at": now_ms,
        },
        event=HistoryEvent.CANCELLED,
    )


def retry(conversion: Conversion, *, source_format: str, plan: tuple[Step, ...], family: Family, now_ms: int) -> Change:
    """failed, cancelled or expired → pending: the user asks again. Counters start anew, the token keeps growing."""
    lane = Lane.BULK if conversion.lane is Lane.BULK else Lane.NORMAL
    return transition(
        conversion.id,
        {Status.FAILED, Status.CANCELLED, Status.EXPIRED},
        Status.PENDING,
        where={"owner": conversion.owner, "token": conversion.token},
        assign={
            **_back_in_line(lane, now_ms),
            "source_format": source_format,
            "plan": plan,
            "family": family,
            "attempt": 0,
            "lost": 0,
            "percent": 0.0,
            "error_code": None,
            "error_message": None,
            "is_hopeless": False,
            "completed_at": None,
            "cancel_requested": False,
            "waits_for": None,
            "cached_from": None,
            "outputs": (),
            "notes": (),
        },
        event=HistoryEvent.RETRIED,
    )


def expire_result(conversion: Conversion, *, now_ms: int) -> Change:
    """completed → expired: its retention is over; the outputs may be deleted after this."""
    return transition(
        conversion.id,
        {Status.COMPLETED},
        Status.EXPIRED,
        where={"token": conversion.token},
        assign={"outputs": (), "updated_at": now_ms},
        event=HistoryEvent.RESULT_EXPIRED,
    )


def _lease(conversion: Conversion, beat_seen: int | None) -> dict[str, Any]:
    where: dict[str, Any] = {"token": conversion.token}
    if beat_seen is not None:
        where["beat"] = beat_seen
    return where


def _with_error(conversion: Conversion, code: str, message: str, now_ms: int) -> tuple[Attempt, ...]:
    ended = Attempt(attempt=conversion.attempt, code=code, message=message, at=now_ms, worker=conversion.worker)
    return (*conversion.errors, ended)


def _completed(
    outputs: tuple[Output, ...],
    engine_versions: dict[str, str],
    notes: tuple[str, ...],
    *,
    cached_from: str | None,
    now_ms: int,
) -> dict[str, Any]:
    return {
        "outputs": outputs,
        "notes": notes,
        "engine_versions": engine_versions,
        "cached_from": cached_from,
        "percent": 100.0,
        "completed_at": now_ms,
        "updated_at": now_ms,
    }


def _to_the_front(lane: Lane) -> Lane:
    return lane if lane is Lane.QUARANTINE else Lane.HIGH


def _back_in_line(lane: Lane, now_ms: int) -> dict[str, Any]:
    return {
        "lane": lane,
        "stage": None,
        "worker": None,
        "publish_due": now_ms,
        "published": 0,
        "updated_at": now_ms,
    }
