"""DeadLetters messages as administrators see them: request and response bodies, and how records turn into them."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from converto_core.conversion.record import Conversion, Status
from converto_core.dead_letters import DeadLetter, Reason
from file_service.dead_letters.resolution import Explained, Resolution
from file_service.http.schemas import Milliseconds

ConversionId = Annotated[str, Meta(min_length=1, max_length=64, description="Only messages of this conversion")]


class DeadLetterChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which parked messages to settle: all conditions hold. `after` is the `next` of the answer before."""

    reason: Reason | None = None
    conversion_id: ConversionId | None = None
    after: str | None = None


class ConversionThen(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversion's record said when the message was found, or says now."""

    status: Status
    token: int
    error_code: str | None
    error_message: str | None


class ConversionNow(ConversionThen, frozen=True, kw_only=True):
    """What it says now, whose it is, and when its next wake-up leaves by itself."""

    owner: str
    wakeup_due_at: Milliseconds | None


class DeadLetterSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the broker set aside.

    `reason` is why, `explanation` says it in words, `verdict` is the broker's own word. `deliveries` is how often it
    was handed to a worker, 0 where the broker does not say.
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
    """The same with its body and what became of its conversion.

    `body` is text, or base64 where `is_binary`; of a large message only the beginning was kept (`is_truncated`).
    Only a message whose `outlook` is `waits` can be requeued; `advice` says what to do.
    """

    body: str
    is_binary: bool
    is_truncated: bool
    conversion_now: ConversionNow | None
    outlook: Resolution
    advice: str


class DeadLetterList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of parked messages, the last that died first; `next` is the `after` of the next page."""

    messages: list[DeadLetterSummary]
    next: str | None


class Refusal(msgspec.Struct, frozen=True):
    """A message that could not be requeued, and why."""

    id: str
    message: str


class DeadLettersHandled(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of a page were settled, and which ones were not. Ask again with `next` until it is null."""

    settled: int
    refusals: list[Refusal]
    next: str | None


def dead_letter_summary(message: DeadLetter) -> DeadLetterSummary:
    """A message as a list shows it."""
    return DeadLetterSummary(**_summary_fields(message))


def dead_letter_body(found: Explained) -> DeadLetterBody:
    """A message as it is shown alone."""
    message = found.message
    return DeadLetterBody(
        **_summary_fields(message),
        body=message.body,
        is_binary=message.is_binary,
        is_truncated=message.is_truncated,
        conversion_now=None if found.conversion is None else _now(found.conversion),
        outlook=found.outlook,
        advice=found.advice,
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
        wakeup_due_at=conversion.publish_due,
    )
