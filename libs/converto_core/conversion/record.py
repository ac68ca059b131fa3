"""A conversion and its states: pure data, no clock, no database. What may happen to it is in `changes.py`."""

from enum import StrEnum
from typing import Any

import msgspec

from converto_core.formats import Family


class Status(StrEnum):
    """Where a conversion stands; the words users see."""

    AWAITING_UPLOAD = "awaiting_upload"
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})


class HistoryEvent(StrEnum):
    """What can happen to a conversion, in the past tense; beats and wake-ups are no events."""

    CREATED = "created"
    QUEUED = "queued"
    REFUSED = "refused"
    UPLOAD_EXPIRED = "upload_expired"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    ATTEMPT_FAILED = "attempt_failed"
    HANDED_BACK = "handed_back"
    WAITS_FOR_ANOTHER = "waits_for_another"
    WORKER_LOST = "worker_lost"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    RESULT_EXPIRED = "result_expired"


class Lane(StrEnum):
    """How soon a conversion is taken: recovered ones, then users' normal work, then bulk. Suspects wait apart."""

    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"
    QUARANTINE = "quarantine"


class Step(msgspec.Struct, frozen=True):
    """One link of a plan: this converter turns that format into the next."""

    converter: str
    source_format: str
    target_format: str


class Appended(msgspec.Struct, frozen=True):
    """A further file that is joined to the end of the source, in the version that was there."""

    file_id: str
    file_version: int


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One result file; `page` counts from 1 and is None when the conversion has a single result."""

    key: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    sha512: str
    page: int | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How one failed attempt ended (behaviour M4: a record lists its errors)."""

    attempt: int
    code: str
    message: str
    at: int
    worker: str | None = None


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """One source to be turned into one target format (behaviour I3). Times are milliseconds since the epoch, UTC.

    `token` is the fencing token: it grows with each claim, stands in every update filter of a worker and in every
    output key. `beat` is the lease: it grows while a worker lives. `publish_due` is the outbox: set means that a
    wake-up has to leave for the broker at that time, and with `wait_ms` only that long after somebody saw it (workers
    write waits and no dates, because their clocks may be wrong). `attempt` counts engine failures, `lost` vanished
    workers.
    `notes` tell what the results do not hold of this very source, such as a track that the target cannot carry.
    `changes` numbers what happened to it (behind each number stands a history entry), `last_event` is the newest of it.
    `cache_key` is the key of its result (see `cache.py`), `waits_for` that of a result which another one makes now,
    `cached_from` the conversion whose outputs were copied; `followers` counts those that began to wait for this one.
    `is_hopeless` failed in a way in which the same content would fail again.
    """

    id: str
    owner: str
    file_id: str
    target_format: str
    created_at: int
    updated_at: int
    changes: int = 1
    last_event: HistoryEvent = HistoryEvent.CREATED
    file_version: int = 1
    filename: str = ""
    client_id: str | None = None
    source_format: str | None = None
    appended: tuple[Appended, ...] = ()
    options: dict[str, Any] = {}
    fresh: bool = False
    plan: tuple[Step, ...] = ()
    family: Family | None = None
    lane: Lane = Lane.NORMAL
    status: Status = Status.AWAITING_UPLOAD
    percent: float = 0.0
    stage: str | None = None
    token: int = 0
    beat: int = 0
    attempt: int = 0
    lost: int = 0
    worker: str | None = None
    publish_due: int | None = None
    wait_ms: int | None = None
    published: int = 0
    cancel_requested: bool = False
    source_sha256: str | None = None
    cache_key: str | None = None
    waits_for: str | None = None
    cached_from: str | None = None
    followers: int = 0
    engine_versions: dict[str, str] = {}
    outputs: tuple[Output, ...] = ()
    notes: tuple[str, ...] = ()
    errors: tuple[Attempt, ...] = ()
    error_code: str | None = None
    error_message: str | None = None
    is_hopeless: bool = False
    trace: str | None = None
    started_at: int | None = None
    completed_at: int | None = None
    expires_at: int | None = None

    @property
    def is_terminal(self) -> bool:
        """True when nothing will happen to it any more unless a user asks."""
        return self.status in TERMINAL

    @property
    def last_error(self) -> tuple[str | None, str | None]:
        """Code and message of what went wrong last, also while it is tried again; None and None when nothing did."""
        if self.error_code is None and self.errors:
            return self.errors[-1].code, self.errors[-1].message
        return self.error_code, self.error_message


def readable_name(filename: str, target_format: str, page: int | None = None, pages: int | None = None) -> str:
    """`deck.pptx` becomes `deck.pdf`; pages get a number wide enough to sort, `deck-007.png`."""
    stem = filename.rpartition(".")[0] or filename or "converted"
    if page is None:
        return f"{stem}.{target_format}"
    return f"{stem}-{page:0{len(str(pages or page))}d}.{target_format}"
