"""Bodies of `/admin/parked`, and how they are built from dead letter records."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from converto_core.conversion.record import Conversion, Status
from converto_core.dead_letters import DeadLetter, Reason
from file_service.dead_letters.resolution import Resolution, ResolvedDeadLetter
from file_service.http.schemas.fields import Milliseconds

ConversionId = Annotated[str, Meta(min_length=1, max_length=64, description="Only messages of this conversion")]


class DeadLetterChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to requeue or drop; all conditions must hold. `after` is the `next` of the last response."""

    reason: Reason | None = None
    conversion_id: ConversionId | None = None
    after: str | None = None


class ConversionThen(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the conversion when the dead letter was collected."""

    status: Status
    token: int
    error_code: str | None
    error_message: str | None


class ConversionNow(ConversionThen, frozen=True, kw_only=True):
    """The current state of the conversion, its owner, and when its next message is due."""

    owner: str
    message_due_at: Milliseconds | None = msgspec.field(name="wakeup_due_at")


class DeadLetterSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the broker dead-lettered.

    `reason` is the cause, `explanation` describes it, and `verdict` is the broker's own reason. `deliveries` counts the
    deliveries to workers; it is 0 if the broker does not report them.
    """

    id: str
    reason: Reason
    explanation: str
    verdict: str | None
    queue: str | None
    routing_key: str
    deliveries: int
    message_id: str | None
    conversion_id: str | None
    conversion_then: ConversionThen | None
    size_bytes: int
    died_at: Milliseconds
    stored_at: Milliseconds


class DeadLetterBody(DeadLetterSummary, frozen=True, kw_only=True):
    """A dead letter with its body and the current state of its conversion.

    `body` is text, or base64 if `is_binary`; of a large message only the beginning is kept (`is_truncated`). Only a
    message whose `outlook` is `waits` can be requeued; `advice` says what to do.
    """

    body: str
    is_binary: bool
    is_truncated: bool
    conversion_now: ConversionNow | None
    resolution: Resolution = msgspec.field(name="outlook")
    advice: str


class DeadLetterList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of dead letters, latest first; pass `next` as `after` to get the next page."""

    messages: list[DeadLetterSummary]
    next: str | None


class Refusal(msgspec.Struct, frozen=True):
    """A dead letter that could not be requeued, and why."""

    id: str
    message: str


class DeadLettersHandled(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters of a page were requeued or dropped, and which were not. Repeat with `next` until null."""

    settled: int
    refusals: list[Refusal]
    next: str | None


def dead_letter_summary(message: DeadLetter) -> DeadLetterSummary:
    """Return a dead letter as lists show it."""
    return DeadLetterSummary(**_summary_fields(message))


def dead_letter_body(resolved: ResolvedDeadLetter) -> DeadLetterBody:
    """Return a dead letter with its body and resolution."""
    message = resolved.message
    return DeadLetterBody(
        **_summary_fields(message),
        body=message.body,
        is_binary=message.is_binary,
        is_truncated=message.is_truncated,
        conversion_now=None if resolved.conversion is None else _now(resolved.conversion),
        resolution=resolved.resolution,
        advice=resolved.advice,
    )


def _summary_fields(message: DeadLetter) -> dict[str, Any]:
    fields = {name: getattr(message, name) for name in DeadLetterSummary.__struct_fields__ if hasattr(message, name)}
    return {**fields, "conversion_then": _then(message)}


def _then(message: DeadLetter) -> ConversionThen | None:
    if message.status is None:
        return None
    return ConversionThen(
        status=message.status,
        token=message.token or 0,
        error_code=message.error_code,
        error_message=message.error_message,
    )


def _now(conversion: Conversion) -> ConversionNow:
    code, message = conversion.last_error
    return ConversionNow(
        status=conversion.status,
        token=conversion.token,
        error_code=code,
        error_message=message,
        owner=conversion.owner,
        message_due_at=conversion.publish_due,
    )
