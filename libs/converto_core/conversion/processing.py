"""Every change of a conversion that a worker has claimed, from the claim to the end of the attempt."""

from converto_core.conversion.change import (
    Assignments,
    Change,
    Conditions,
    Increments,
    completed,
    ended,
    expedited,
    requeued,
)
from converto_core.conversion.record import Attempt, Conversion, HistoryEvent, Lane, Output, Status
from converto_core.conversion.transitions import AT_ONCE_MS, transition


def claim(conversion_id: str, *, token: int, worker: str, now_ms: int) -> Change:
    """pending → processing: exactly one worker succeeds, and its new token fences out all others.

    `token` comes from the message: a message from before a retry meets a larger token and claims nothing.
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
    """processing → processing: the worker is alive; `percent` never decreases."""
    assign = Assignments(updated_at=now_ms)
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
    """processing → processing: the worker has hashed the bytes that it is about to convert."""
    return _from_processing(
        conversion,
        Status.PROCESSING,
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
    """processing → completed: only this update makes the outputs visible.

    `cached_from` is the conversion that the outputs were copied from, or None when an engine ran.
    """
    return _from_processing(
        conversion,
        Status.COMPLETED,
        assign={
            **completed(outputs, engine_versions, notes, cached_from=cached_from, now_ms=now_ms),
            **_released(now_ms),
            "waits_for": None,
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
    """processing → failed: a retry cannot help (`is_hopeless`), or all attempts are used up."""
    return _from_processing(
        conversion,
        Status.FAILED,
        beat_seen=beat_seen,
        assign={
            **_released(now_ms),
            "waits_for": None,
            "error_code": code,
            "error_message": message,
            "is_hopeless": is_hopeless,
            "errors": _with_error(conversion, code, message, now_ms),
        },
        event=HistoryEvent.FAILED,
    )


def retry_later(conversion: Conversion, *, code: str, message: str, wait_ms: int, now_ms: int) -> Change:
    """processing → pending: the engine failed in a way that may pass; the next attempt is due after `wait_ms`."""
    return _from_processing(
        conversion,
        Status.PENDING,
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
    """processing → pending: the worker shuts down cleanly; the attempt is not counted."""
    return _from_processing(
        conversion,
        Status.PENDING,
        assign={**requeued(expedited(conversion.lane), now_ms), "publish_due": AT_ONCE_MS},
        increase={"attempt": -1},
        event=HistoryEvent.HANDED_BACK,
    )


def wait_for_leader(conversion: Conversion, *, cache_key: str, wait_ms: int, now_ms: int) -> Change:
    """processing → pending: the leader of the single flight is making the same result; the attempt is not counted.

    The leader ends the wait when it is done; without it, the message is due after `wait_ms`.
    """
    return _from_processing(
        conversion,
        Status.PENDING,
        assign={
            **requeued(conversion.lane, now_ms),
            "waits_for": cache_key,
            "publish_due": AT_ONCE_MS,
            "wait_ms": wait_ms,
            "stage": "waiting for the same conversion to end",
        },
        increase={"attempt": -1},
        event=HistoryEvent.WAITS_FOR_ANOTHER,
    )


def wait_for_engine(
    conversion: Conversion, *, wait_ms: int, now_ms: int, stage: str = "waiting for its conversion program to answer"
) -> Change:
    """processing → pending: a program of the plan does not answer here, or only others have it; not counted.

    Any worker may claim it after `wait_ms`.
    """
    return _from_processing(
        conversion,
        Status.PENDING,
        assign={
            **requeued(conversion.lane, now_ms),
            "publish_due": AT_ONCE_MS,
            "wait_ms": wait_ms,
            "stage": stage,
        },
        increase={"attempt": -1},
        event=HistoryEvent.HANDED_BACK,
    )


def add_waiter(conversion_id: str, *, token: int) -> Change:
    """processing → processing: another conversion waits for this result. Refused when it has already ended."""
    return transition(
        conversion_id, {Status.PROCESSING}, Status.PROCESSING, where={"token": token}, increase={"followers": 1}
    )


def worker_lost(conversion: Conversion, *, now_ms: int) -> Change:
    """processing → pending: no beat for one lease, so the worker is gone. From the second loss on it runs alone."""
    lane = Lane.HIGH if conversion.lost == 0 else Lane.QUARANTINE
    return _from_processing(
        conversion,
        Status.PENDING,
        beat_seen=conversion.beat,
        assign=requeued(lane, now_ms),
        increase={"attempt": -1, "lost": 1},
        event=HistoryEvent.WORKER_LOST,
    )


def cancel_running(conversion: Conversion, *, now_ms: int, beat_seen: int | None = None) -> Change:
    """processing → cancelled: the worker killed its child process, or was lost after the cancel request."""
    return _from_processing(
        conversion, Status.CANCELLED, beat_seen=beat_seen, assign=_released(now_ms), event=HistoryEvent.CANCELLED
    )


def _from_processing(
    conversion: Conversion,
    to: Status,
    *,
    assign: Assignments,
    increase: Increments | None = None,
    event: HistoryEvent | None = None,
    beat_seen: int | None = None,
) -> Change:
    """A change that only the holder of the token may make; with `beat_seen` only until the next beat."""
    where = Conditions(token=conversion.token)
    if beat_seen is not None:
        where["beat"] = beat_seen
    return transition(
        conversion.id, {Status.PROCESSING}, to, where=where, assign=assign, increase=increase, event=event
    )


def _released(now_ms: int) -> Assignments:
    """What every end of a processing conversion sets: no worker holds it any more."""
    return {**ended(now_ms), "stage": None, "worker": None, "cancel_requested": False}


def _with_error(conversion: Conversion, code: str, message: str, now_ms: int) -> tuple[Attempt, ...]:
    error = Attempt(attempt=conversion.attempt, code=code, message=message, at=now_ms, worker=conversion.worker)
    return (*conversion.errors, error)
