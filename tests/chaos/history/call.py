"""What one client asked and was answered, as it is written to the journal and as the checks read it.

Times are seconds on the monotonic clock of the machine that records, the same for all clients of a run.
"""

import math
from enum import StrEnum
from typing import Any

import msgspec

from converto_core.conversion.record import Status


class Outcome(StrEnum):
    """What a client can say about its call."""

    ANSWERED = "answered"
    NOT_SENT = "not_sent"
    """No connection was opened, so the call had no effect and never will."""
    UNKNOWN = "unknown"
    """The connection broke or time was up: the call may have an effect at any later time."""


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One conversion as an answer described it; the names are those of the API."""

    id: str
    status: Status
    percent: float = 0.0
    attempts_lost: int = 0
    error_count: int = 0
    error_code: str | None = None
    started_at: int | None = None
    expires_at: int | None = None
    client_id: str | None = None
    file_id: str | None = None
    target_format: str | None = None
    source_sha256: str | None = None
    outputs: tuple[str, ...] = ()
    """The SHA-256 of each output, in order."""


class ToldObject(msgspec.Struct, frozen=True):
    """One output as an answer described it, with its object key."""

    key: str
    sha256: str


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="asked", omit_defaults=True):
    """A call as it was sent. `path` is a template, `id` the conversion or file in it, `key` the idempotency key.

    `caller` stands for the API key. `wanted` holds the query of a list, or what identifies a new conversion. A call to
    the object store has an `object_key` instead of a path; `sha256` is that of the body that was sent.
    """

    number: int
    at_s: float
    client: str
    method: str
    path: str = ""
    id: str | None = None
    caller: str = ""
    key: str | None = None
    wanted: dict[str, str] = {}
    object_key: str | None = None
    sha256: str | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended", omit_defaults=True):
    """How the call with this number ended; `wall_ms` is the date of the recording machine."""

    number: int
    at_s: float
    outcome: Outcome
    wall_ms: int = 0
    status: int = 0
    code: str | None = None
    """The code of a problem, or the name of the error that broke the connection."""
    is_replayed: bool = False
    told: tuple[Told, ...] = ()
    file_id: str | None = None
    objects: tuple[ToldObject, ...] = ()
    next: str | None = None
    sha256: str | None = None
    """The SHA-256 of downloaded bytes."""


class Streamed(msgspec.Struct, frozen=True, kw_only=True, tag="streamed"):
    """One event that arrived on the stream which the call with this number opened."""

    number: int
    at_s: float
    told: Told


class Published(msgspec.Struct, frozen=True, kw_only=True, tag="published"):
    """A live event that a listener got from the broker: a conversion reached `status` under this fencing token."""

    at_s: float
    id: str
    status: Status
    token: int


class Damaged(msgspec.Struct, frozen=True, kw_only=True, tag="damaged"):
    """A fault removed or replaced this object from now on."""

    at_s: float
    object_key: str


Line = Asked | Ended | Streamed | Published | Damaged


class Call(msgspec.Struct, frozen=True):
    """One call with its end; a call without one is still open, so its outcome is unknown."""

    asked: Asked
    ended: Ended

    @property
    def number(self) -> int:
        """Its place in the history."""
        return self.asked.number

    @property
    def start_s(self) -> float:
        """When it was sent."""
        return self.asked.at_s

    @property
    def end_s(self) -> float:
        """When its answer was complete."""
        return self.ended.at_s

    @property
    def is_done(self) -> bool:
        """True when the service answered that it did what was asked, and did it for this very call."""
        return self.ended.outcome is Outcome.ANSWERED and 200 <= self.ended.status < 400 and not self.ended.is_replayed

    @property
    def may_have_done(self) -> bool:
        """True unless the call surely had no effect: a 503 may come after the update, a 4xx may not."""
        if self.ended.outcome is Outcome.ANSWERED:
            return self.is_done or self.ended.status >= 500
        return self.ended.outcome is Outcome.UNKNOWN

    @property
    def effect_until_s(self) -> float:
        """The latest time of its effect; never for an unknown outcome, because a request may lie in some buffer."""
        return self.end_s if self.is_done else math.inf

    def is_for(self, method: str, path: str) -> bool:
        """Return whether it called this operation."""
        return self.asked.method == method and self.asked.path == path

    def __str__(self) -> str:
        what = f"{self.asked.method} {self.asked.path or self.asked.object_key}"
        answer = str(self.ended.status or self.ended.outcome)
        return f"call {self.number} ({self.asked.client}: {what} → {answer}, {self.start_s:.3f} to {self.end_s:.3f} s)"


def open_end(asked: Asked) -> Ended:
    """Return the end of a call whose answer was never recorded."""
    return Ended(number=asked.number, at_s=math.inf, outcome=Outcome.UNKNOWN)


def told_of(body: dict[str, Any]) -> Told:
    """Return what a conversion's JSON says."""
    names = ("percent", "attempts_lost", "started_at", "expires_at", "client_id", "file_id", "target_format")
    given = {name: body[name] for name in (*names, "source_sha256") if body.get(name) is not None}
    return Told(
        id=body["id"],
        status=Status(body["status"]),
        error_count=len(body.get("errors") or ()),
        error_code=(body.get("error") or {}).get("code"),
        outputs=tuple(output["sha256"] for output in body.get("outputs") or ()),
        **given,
    )
