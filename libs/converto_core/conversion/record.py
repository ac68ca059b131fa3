"""The record of a conversion and its states. Every change is in `transitions.py` and `processing.py`."""

from enum import StrEnum
from typing import Any

import msgspec

from converto_core.formats import Family

_LONGEST_TITLE_CHARACTERS = 120  # it becomes a line above each page


class Status(StrEnum):
    """The status of a conversion, as users see it."""

    AWAITING_UPLOAD = "awaiting_upload"
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})


class HistoryEvent(StrEnum):
    """What can happen to a conversion; heartbeats and published messages are not part of the history."""

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
    RESULT_LOST = "result_lost"
    RESULT_FOUND = "result_found"


class Lane(StrEnum):
    """Priority: `high` for recovered conversions, then `normal`, then `bulk`; conversions in `quarantine` run alone."""

    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"
    QUARANTINE = "quarantine"


class Step(msgspec.Struct, frozen=True):
    """One step of a plan: a converter turns one format into the next."""

    converter: str
    source_format: str
    target_format: str


class Appended(msgspec.Struct, frozen=True):
    """A further file to append to the source, in the version at the time of the request."""

    file_id: str
    file_version: int


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One result file; `page` counts from 1 and is None when the conversion has only one output.

    `etag` is what the object store called the stored bytes, None where it has no ETags and in older records.
    """

    key: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    sha512: str
    page: int | None = None
    etag: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The error of one failed attempt (behaviour M4: a record lists its errors)."""

    attempt: int
    code: str
    message: str
    at: int
    worker: str | None = None


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """The conversion of one source to one target format (behaviour I3). Times are milliseconds since the epoch, UTC.

    - `token` is the fencing token: it grows with each claim and is part of every update filter of a worker and of every
      output key. `beat` is the lease: it grows while the worker is alive.
    - `publish_due` is the outbox: a message has to be published at that time. With `wait_ms` it is due that long after
      the outbox has seen it: workers write waits instead of times, because their clocks may be wrong.
    - `attempt` counts attempts that failed in the engine, `lost` counts workers that vanished.
    - `notes` name what the outputs lack of this source, such as a track that the target format cannot hold.
    - `changes` numbers the history entries; `last_event` is the latest one.
    - `cache_key` is the key of its result, `waits_for` the key of a result that a leader is making now, `cached_from`
      the conversion whose outputs were copied. `followers` counts the waiters of this conversion.
    - `result_lost_at` marks a completed conversion of which an output was found missing or damaged.
    - `is_hopeless` marks a failure that the same content would cause again.
    - `has_password` marks a conversion whose source is opened with a password. `sealed_password` holds it, encrypted
      for this record only, until the conversion ends.
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
    has_password: bool = False
    sealed_password: str | None = None
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
    result_lost_at: int | None = None

    @property
    def is_terminal(self) -> bool:
        """True when only a user or retention can still change the conversion."""
        return self.status in TERMINAL

    @property
    def last_error(self) -> tuple[str | None, str | None]:
        """Code and message of the latest error, also while a retry is pending; both None when there was none."""
        if self.error_code is None and self.errors:
            return self.errors[-1].code, self.errors[-1].message
        return self.error_code, self.error_message


def title_of(filename: str) -> str:
    """The name of a file without folder and extension, on one printable line; empty when there is no name."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    printable = "".join(character if character.isprintable() else " " for character in stem)
    return " ".join(printable.split())[:_LONGEST_TITLE_CHARACTERS]


def readable_name(filename: str, target_format: str, page: int | None = None, pages: int | None = None) -> str:
    """The file name of an output: `deck.pdf` from `deck.pptx`, or `deck-007.png`, zero-padded so that pages sort."""
    stem = filename.rpartition(".")[0] or filename or "converted"
    if page is None:
        return f"{stem}.{target_format}"
    return f"{stem}-{page:0{len(str(pages or page))}d}.{target_format}"
