"""Decides whether to retry a request and how long to pause; pure functions without a clock."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from converto_client.errors import Busy, ClientError, ProblemError, RequestInFlight, ServerUnreachable

BUSY_JITTER_ATTEMPT = 3
_GATEWAY_STATUSES = frozenset({429, 502, 503, 504})


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Retry policy: exponential backoff with full jitter, `base_s` x 2^n capped at `cap_s`; times in seconds.

    A `Retry-After` is obeyed, with jitter on top so that many clients do not return together. One that is longer than
    `longest_retry_after_s` is not waited for: the caller gets the error and decides. A busy server that sends
    `Retry-After` is retried for `patience_s` regardless of `attempts`: it is healthy, and each refusal is cheap.
    An upload waits for a store that does not answer for `outage_s` regardless of `attempts`: a restart takes seconds.
    """

    attempts: int = 6
    base_s: float = 0.25
    cap_s: float = 8.0
    longest_retry_after_s: float = 60.0
    patience_s: float = 120.0
    outage_s: float = 30.0

    def pause_s(self, attempt: int, retry_after_s: float | None, draw: Callable[[], float] = random.random) -> float:
        """Seconds to pause after failed attempt `attempt` (from 1); `draw` returns a number in [0, 1)."""
        jitter_s = draw() * min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))
        return jitter_s + (retry_after_s or 0.0)

    def pause_after_s(self, error: ClientError, attempt: int) -> float:
        """Seconds to pause after this error. Jitter stops growing for a busy server: a client that was refused often
        must not return later than one that has just arrived."""
        jittered_as = min(attempt, BUSY_JITTER_ATTEMPT) if isinstance(error, Busy) else attempt
        return self.pause_s(jittered_as, getattr(error, "retry_after_s", None))

    def may_send_again(self, attempt: int, *, paused_s: float | None) -> bool:
        """Whether to send bytes again after failed attempt `attempt` (from 1).

        `paused_s` is how long this upload has paused so far for a store that does not answer, None if it has refused.
        """
        return attempt < self.attempts or (paused_s is not None and paused_s < self.outage_s)

    def may_repeat(self, error: ClientError, attempt: int, *, paused_s: float = 0.0) -> bool:
        """Whether to retry after failed attempt `attempt` (from 1); the request has paused for `paused_s` so far."""
        if attempt >= self.attempts and not (isinstance(error, Busy) and error.retry_after_s is not None):
            return False
        if isinstance(error, Busy) and paused_s + (error.retry_after_s or 0.0) > self.patience_s:
            return False
        if isinstance(error, ProblemError):
            passes = error.status in _GATEWAY_STATUSES or isinstance(error, RequestInFlight)
            return passes and (error.retry_after_s or 0.0) <= self.longest_retry_after_s
        return isinstance(error, ServerUnreachable)


def seconds_of_retry_after(
    value: str | None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> float | None:
    """Parse a `Retry-After` header (seconds or HTTP date) to seconds; None when it is missing or malformed."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now()).total_seconds())
