"""What the file service answers to administrators, as frozen structs. Like `models`, it passes over unknown fields."""

import msgspec


class ConversionThen(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversion's record said when its message was set aside."""

    status: str
    token: int = 0
    error_code: str | None = None
    error_message: str | None = None


class ConversionNow(ConversionThen, frozen=True, kw_only=True):
    """What it says now, whose it is, and when its next wake-up leaves by itself (ms since the epoch)."""

    owner: str = ""
    wakeup_due_at: int | None = None


class DeadLetterSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the broker set aside; `explanation` says why. Times are milliseconds since the epoch, UTC."""

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
    """The same with its body (base64 where `is_binary`), and what became of its conversion and what to do."""

    body: str = ""
    is_binary: bool = False
    is_truncated: bool = False
    conversion_now: ConversionNow | None = None
    outlook: str = ""
    advice: str = ""


class DeadLetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of parked messages, the last that died first; `next` is the cursor of the page after it."""

    messages: tuple[DeadLetterSummary, ...]
    next: str | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A message that stays, and why."""

    id: str
    message: str = ""


class DeadLettersHandled(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of one page were settled, and which were not; `next` is where the next page begins."""

    settled: int
    refusals: tuple[Refusal, ...] = ()
    next: str | None = None
