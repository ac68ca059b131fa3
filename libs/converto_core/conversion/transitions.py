"""The state machine of a conversion: the table of allowed transitions and every change that may happen.

Each function returns a `Change` that a store applies atomically. The rules live only here; a store has to evaluate the
conditions and nothing else.
"""

from collections.abc import Iterable, Mapping

from converto_core.conversion.change import (
    Assignments,
    Change,
    Conditions,
    Increments,
    Minimums,
    completed,
    ended,
    expedited,
    requeued,
)
from converto_core.conversion.record import Attempt, Conversion, HistoryEvent, Lane, Output, Status, Step
from converto_core.errors import ForbiddenTransition
from converto_core.formats import Family

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.AWAITING_UPLOAD: frozenset(
        {Status.PENDING, Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}
    ),
    Status.PENDING: frozenset({Status.PENDING, Status.PROCESSING, Status.CANCELLED}),
    Status.PROCESSING: frozenset(
        {Status.PROCESSING, Status.PENDING, Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    ),
    # A completed conversion runs again only after its result was lost: see `retry`.
    Status.COMPLETED: frozenset({Status.COMPLETED, Status.PENDING, Status.EXPIRED}),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset({Status.PENDING}),
    Status.EXPIRED: frozenset({Status.PENDING}),
}

_RESTARTED: Assignments = {
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
    "result_lost_at": None,
}
"""What a retry resets."""
AT_ONCE_MS = 0
"""A `publish_due` that has passed by every clock; workers write it, because their own may be an hour ahead."""


def transition(
    conversion_id: str,
    expected: Iterable[Status],
    to: Status,
    *,
    where: Conditions | None = None,
    assign: Assignments | None = None,
    increase: Increments | None = None,
    raise_to: Minimums | None = None,
    event: HistoryEvent | None = None,
) -> Change:
    """The only way to make a `Change`: raises `ForbiddenTransition` when the table does not allow the step."""
    expected = frozenset(expected)
    for status in expected:
        if to not in TRANSITIONS[status]:
            raise ForbiddenTransition(f"{status} -> {to} is not in the table of transitions")
    assign, increase = assign or {}, increase or {}
    if event:
        assign, increase = {**assign, "last_event": event}, {**increase, "changes": 1}
    return Change(
        id=conversion_id,
        expected=expected,
        to=to,
        where=where or {},
        assign=assign,
        increase=increase,
        raise_to=raise_to or {},
        event=event,
    )


def confirm(
    conversion: Conversion, *, source_format: str, plan: tuple[Step, ...], family: Family, now_ms: int
) -> Change:
    """awaiting_upload → pending: the upload is complete and its type is known; the message is due at once."""
    return transition(
        conversion.id,
        {Status.AWAITING_UPLOAD},
        Status.PENDING,
        assign={**_planned(source_format, plan, family), "publish_due": now_ms, "updated_at": now_ms},
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
    """awaiting_upload → completed: the upload is complete, and `outputs` are copies of the result of `made`."""
    return transition(
        conversion.id,
        {Status.AWAITING_UPLOAD},
        Status.COMPLETED,
        where={"token": conversion.token},
        assign={
            **_planned(source_format, plan, family),
            **completed(outputs, made.engine_versions, made.notes, cached_from=made.id, now_ms=now_ms),
            "source_sha256": made.source_sha256,
            "cache_key": made.cache_key,
        },
        event=HistoryEvent.COMPLETED,
    )


def refuse(conversion: Conversion, *, code: str, message: str, now_ms: int, source_format: str | None) -> Change:
    """awaiting_upload → failed: the upload is complete but can never be converted as requested."""
    error = Attempt(attempt=0, code=code, message=message, at=now_ms)
    return transition(
        conversion.id,
        {Status.AWAITING_UPLOAD},
        Status.FAILED,
        assign={
            **ended(now_ms),
            "source_format": source_format,
            "error_code": code,
            "error_message": message,
            "errors": (*conversion.errors, error),
        },
        event=HistoryEvent.REFUSED,
    )


def expire_upload(conversion: Conversion, *, now_ms: int) -> Change:
    """awaiting_upload → expired: the upload never arrived."""
    message = "The file was never uploaded"
    return transition(
        conversion.id,
        {Status.AWAITING_UPLOAD},
        Status.EXPIRED,
        assign={**ended(now_ms), "error_code": "upload_abandoned", "error_message": message},
        event=HistoryEvent.UPLOAD_EXPIRED,
    )


def published(conversion: Conversion, *, next_due_ms: int) -> Change:
    """pending → pending: the broker confirmed the message; it is sent again at `next_due_ms` unless claimed before."""
    return _rescheduled(conversion, Assignments(publish_due=next_due_ms), increase={"published": 1})


def republish_now(conversion: Conversion, *, now_ms: int) -> Change:
    """pending → pending: the confirmed message is missing from its queue, so the next one is due now."""
    return _rescheduled(conversion, Assignments(publish_due=now_ms))


def schedule_publish(conversion: Conversion, *, due_ms: int) -> Change:
    """pending → pending: turn the wait that a worker asked for into a time, by the clock of the outbox."""
    return _rescheduled(
        conversion, Assignments(publish_due=due_ms, wait_ms=None), where=Conditions(wait_ms=conversion.wait_ms)
    )


def end_wait(conversion: Conversion, *, wait_ms: int, now_ms: int) -> Change:
    """pending → pending: the leader has ended. The waiter has queued once already, so it moves to the high lane.

    The caller also publishes the message; if that is lost, the outbox sends one after `wait_ms`.
    """
    return transition(
        conversion.id,
        {Status.PENDING},
        Status.PENDING,
        where={"token": conversion.token, "waits_for": conversion.waits_for},
        assign={
            "lane": expedited(conversion.lane),
            "publish_due": AT_ONCE_MS,
            "wait_ms": wait_ms,
            "updated_at": now_ms,
        },
    )


def cancel_waiting(conversion_id: str, *, owner: str, now_ms: int) -> Change:
    """awaiting_upload or pending → cancelled: no worker holds it, so it ends at once."""
    return transition(
        conversion_id,
        {Status.AWAITING_UPLOAD, Status.PENDING},
        Status.CANCELLED,
        where={"owner": owner},
        assign={**ended(now_ms), "publish_due": None, "stage": None},
        event=HistoryEvent.CANCELLED,
    )


def request_cancel(conversion_id: str, *, owner: str, now_ms: int) -> Change:
    """processing → processing: set a flag that the worker sees at its next beat."""
    return transition(
        conversion_id,
        {Status.PROCESSING},
        Status.PROCESSING,
        where={"owner": owner},
        assign={"cancel_requested": True, "updated_at": now_ms},
        event=HistoryEvent.CANCEL_REQUESTED,
    )


def retry(
    conversion: Conversion,
    *,
    source_format: str,
    plan: tuple[Step, ...],
    family: Family,
    now_ms: int,
    sealed_password: str | None = None,
) -> Change:
    """failed, cancelled or expired → pending: the user retries. Counters restart, the token keeps growing.

    Also completed → pending, but only while the result is lost: raises `ForbiddenTransition` for any other. The
    password of the source was removed at the end, so `sealed_password` has to bring it again.
    """
    expected = {Status.FAILED, Status.CANCELLED, Status.EXPIRED}
    where = Conditions(owner=conversion.owner, token=conversion.token)
    if conversion.status is Status.COMPLETED:
        if conversion.result_lost_at is None:
            raise ForbiddenTransition("completed -> pending needs a result that was lost")
        expected, where["result_lost_at"] = {Status.COMPLETED}, conversion.result_lost_at
    lane = Lane.BULK if conversion.lane is Lane.BULK else Lane.NORMAL
    return transition(
        conversion.id,
        expected,
        Status.PENDING,
        where=where,
        assign={
            **requeued(lane, now_ms),
            **_planned(source_format, plan, family),
            **_RESTARTED,
            "has_password": sealed_password is not None,
            "sealed_password": sealed_password,
        },
        event=HistoryEvent.RETRIED,
    )


def expire_result(conversion: Conversion, *, now_ms: int) -> Change:
    """completed → expired: the retention period has ended; the outputs may be deleted after this update."""
    return transition(
        conversion.id,
        {Status.COMPLETED},
        Status.EXPIRED,
        where={"token": conversion.token},
        assign={"outputs": (), "result_lost_at": None, "updated_at": now_ms},
        event=HistoryEvent.RESULT_EXPIRED,
    )


def lose_result(conversion: Conversion, *, now_ms: int) -> Change:
    """completed → completed: an output is missing or damaged in the object store. The first one to notice says so."""
    return transition(
        conversion.id,
        {Status.COMPLETED},
        Status.COMPLETED,
        where={"token": conversion.token, "result_lost_at": None},
        assign={"result_lost_at": now_ms, "updated_at": now_ms},
        event=HistoryEvent.RESULT_LOST,
    )


def find_result(conversion: Conversion, *, now_ms: int) -> Change:
    """completed → completed: all outputs are there again, for example from a backup."""
    return transition(
        conversion.id,
        {Status.COMPLETED},
        Status.COMPLETED,
        where={"token": conversion.token, "result_lost_at": conversion.result_lost_at},
        assign={"result_lost_at": None, "updated_at": now_ms},
        event=HistoryEvent.RESULT_FOUND,
    )


def _rescheduled(
    conversion: Conversion, assign: Assignments, *, where: Conditions | None = None, increase: Increments | None = None
) -> Change:
    """pending → pending, unless the conversion was claimed or rescheduled since it was read."""
    unchanged = Conditions(token=conversion.token, publish_due=conversion.publish_due)
    return transition(
        conversion.id,
        {Status.PENDING},
        Status.PENDING,
        where={**unchanged, **(where or {})},
        assign=assign,
        increase=increase,
    )


def _planned(source_format: str, plan: tuple[Step, ...], family: Family) -> Assignments:
    return {"source_format": source_format, "plan": plan, "family": family}
