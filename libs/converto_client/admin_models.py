"""Frozen structs for the answers to administrators; unknown fields are ignored, as in `models`."""

import msgspec

from converto_client.models import Page


class ConversionThen(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a conversion when its message became a dead letter."""

    status: str
    token: int = 0
    error_code: str | None = None
    error_message: str | None = None


class ConversionNow(ConversionThen, frozen=True, kw_only=True):
    """The current state, the owner, and when the next message is published anyway (ms since the epoch)."""

    owner: str = ""
    wakeup_due_at: int | None = None


class DeadLetterSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the broker dead-lettered; `explanation` says why. Times are milliseconds since the epoch, UTC."""

    id: str
    reason: str
    explanation: str = ""
    verdict: str | None = None
    queue: str | None = None
    routing_key: str = ""
    deliveries: int = 0
    message_id: str | None = None
    conversion_id: str | None = None
    conversion_then: ConversionThen | None = None
    size_bytes: int = 0
    died_at: int = 0
    stored_at: int = 0


class DeadLetter(DeadLetterSummary, frozen=True, kw_only=True):
    """A dead letter with its body (base64 if `is_binary`), the state of its conversion and advice."""

    body: str = ""
    is_binary: bool = False
    is_truncated: bool = False
    conversion_now: ConversionNow | None = None
    outlook: str = ""
    advice: str = ""


class DeadLetterPage(Page, frozen=True, kw_only=True):
    """One page of dead letters, newest first."""

    messages: tuple[DeadLetterSummary, ...]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter that was kept, and why."""

    id: str
    message: str = ""


class DeadLettersHandled(Page, frozen=True, kw_only=True):
    """How many dead letters of one page were handled, and which were kept."""

    settled: int
    refusals: tuple[Refusal, ...] = ()
