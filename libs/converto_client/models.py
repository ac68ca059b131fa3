"""Frozen structs for the file service's JSON answers.

Unknown fields are ignored and most fields have a default, so that an older client works with a newer server.
All times are milliseconds since the epoch, UTC.
"""

from typing import Any, Literal

import msgspec

TERMINAL = frozenset({"completed", "failed", "cancelled", "expired"})


class FieldError(msgspec.Struct, frozen=True):
    """One invalid field: its JSON pointer and the reason."""

    pointer: str = ""
    message: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An RFC 9457 problem document."""

    title: str = ""
    status: int = 0
    detail: str = ""
    code: str = ""
    retryable: bool = False
    request_id: str | None = None
    errors: tuple[FieldError, ...] = ()


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One uploaded source."""

    id: str
    filename: str
    size_bytes: int
    status: str
    extension: str = ""
    version: int = 1
    client_id: str | None = None
    declared_type: str | None = None
    detected_type: str | None = None
    detected_format: str | None = None
    sha256: str | None = None
    sha512: str | None = None
    created_at: int = 0
    updated_at: int = 0


class PresignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the object store that needs no further authorization."""

    method: str = "PUT"
    url: str = ""
    headers: dict[str, str] = {}
    expires_at: int = 0


class Upload(PresignedRequest, frozen=True, kw_only=True):
    """How to upload the bytes: one presigned request, or a multipart upload whose parts are presigned on demand."""

    kind: Literal["single", "multipart"]
    part_size_bytes: int = 0
    part_count: int = 0


class FileWithUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A file record and how to upload its bytes; `upload` is None when the server already has them."""

    file: FileRecord
    upload: Upload | None = None


class PartRequest(PresignedRequest, frozen=True, kw_only=True):
    """The presigned request of one part."""

    part_number: int


class PartRequests(msgspec.Struct, frozen=True):
    """The presigned requests of several parts."""

    parts: tuple[PartRequest, ...]


class StoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part that the object store holds."""

    part_number: int
    etag: str
    size_bytes: int = 0


class StoredParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts uploaded so far."""

    parts: tuple[StoredPart, ...]
    part_size_bytes: int
    part_count: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a conversion failed."""

    code: str
    message: str
    retryable: bool = False


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt."""

    attempt: int
    code: str
    message: str
    at: int = 0


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan."""

    source_format: str
    target_format: str
    converter: str = ""


class OutputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One result of a conversion; `page` is None for a single result."""

    filename: str
    size_bytes: int
    content_type: str = "application/octet-stream"
    page: int | None = None
    sha256: str | None = None
    sha512: str | None = None


class OutputLink(OutputRecord, frozen=True, kw_only=True):
    """One result with its presigned download URL."""

    url: str
    expires_at: int = 0


class OutputLinks(msgspec.Struct, frozen=True):
    """All results of a conversion."""

    outputs: tuple[OutputLink, ...]


class SecondsRange(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate in seconds; `based_on` counts the earlier conversions it is computed from."""

    low_s: float
    high_s: float
    based_on: int = 0


class ConversionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion."""

    id: str
    file_id: str
    target_format: str
    status: str
    file_version: int = 1
    filename: str = ""
    client_id: str | None = None
    source_format: str | None = None
    options: dict[str, Any] = {}
    percent: float = 0.0
    stage: str | None = None
    remaining: SecondsRange | None = None
    lane: str = "normal"
    attempt: int = 0
    attempts_lost: int = 0
    plan: tuple[StepRecord, ...] = ()
    worker: str | None = None
    errors: tuple[AttemptRecord, ...] = ()
    error: Failure | None = None
    outputs: tuple[OutputRecord, ...] = ()
    notes: tuple[str, ...] = ()
    output_filename: str | None = None
    from_cache: bool = False
    source_sha256: str | None = None
    engine_versions: dict[str, str] = {}
    cancel_requested: bool = False
    created_at: int = 0
    updated_at: int = 0
    started_at: int | None = None
    completed_at: int | None = None
    expires_at: int | None = None
    result_lost_at: int | None = None

    @property
    def is_terminal(self) -> bool:
        """True for a status that changes only on request (retry, delete)."""
        return self.status in TERMINAL


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event in the life of a conversion."""

    number: int
    event: str
    status: str
    at: int
    attempt: int = 0
    attempts_lost: int = 0
    lane: str = "normal"
    worker: str | None = None
    code: str | None = None
    message: str | None = None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The history of a conversion, oldest entry first; `missing` entries were lost when a process was killed."""

    history: tuple[HistoryEntry, ...]
    missing: int = 0


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A new conversion and its file; `upload` is None when the server already has the bytes."""

    conversion: ConversionRecord
    file: FileRecord
    upload: Upload | None = None


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """A file whose upload is confirmed, and the conversions that waited for it."""

    file: FileRecord
    conversions: tuple[ConversionRecord, ...] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all pages; `next` is the cursor of the following page, None on the last one."""

    next: str | None = None


class ConversionPage(Page, frozen=True, kw_only=True):
    """One page of conversions, newest first."""

    conversions: tuple[ConversionRecord, ...]


class FilePage(Page, frozen=True, kw_only=True):
    """One page of files, newest first."""

    files: tuple[FileRecord, ...]


class FormatRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One file format the server knows."""

    name: str
    title: str = ""
    mime_type: str = ""
    family: str = ""
    extensions: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion that this server offers, with its options as JSON Schema."""

    source: str
    target: str
    converter: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    family: str | None = None
    options_schema: dict[str, Any] = {}
    steps: tuple[StepRecord, ...] = ()
    losses: tuple[str, ...] = ()


class PlanStep(StepRecord, frozen=True, kw_only=True):
    """One step of a plan and the program that runs it."""

    engine: str = ""
    engine_version: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a conversion would run: steps, options, expected duration and what the result loses."""

    source_format: str
    target_format: str
    expected: SecondsRange
    steps: tuple[PlanStep, ...] = ()
    options_schema: dict[str, Any] = {}
    losses: tuple[str, ...] = ()


class Formats(msgspec.Struct, frozen=True, kw_only=True):
    """The formats and routes that a server offers."""

    formats: tuple[FormatRecord, ...] = ()
    routes: tuple[Route, ...] = ()


class RunningSlot(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion that a worker is running."""

    conversion_id: str
    started_at: int = 0
    pid: int | None = None


class EngineNotAnswering(msgspec.Struct, frozen=True, kw_only=True):
    """A converter whose program is installed on a worker but does not answer yet; the worker asks it again."""

    converter: str
    engine: str = ""
    family: str = ""
    since: int = 0
    error: str = ""
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process."""

    id: str
    host: str = ""
    pid: int = 0
    started_at: int = 0
    seen_at: int = 0
    slots: int = 1
    sandbox: str = ""
    running: tuple[RunningSlot, ...] = ()
    offers: tuple[str, ...] = ()
    not_answering: tuple[EngineNotAnswering, ...] = ()
    not_installed: tuple[str, ...] = ()


class Workers(msgspec.Struct, frozen=True):
    """All workers with a recent heartbeat."""

    workers: tuple[WorkerRecord, ...]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Health of one dependency of the file service; `faults` are those of its parts, with what to do about them."""

    status: str
    latency_ms: float | None = None
    error: str | None = None
    faults: tuple[str, ...] = ()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Health of the file service and of each dependency, and the engines that answer on no running worker yet."""

    status: str
    checks: dict[str, Check] = {}
    engines_not_answering: tuple[str, ...] = ()


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The owner and the scopes of an API key or access token; `expires_at` (ms since the epoch) is a token's."""

    owner: str
    key_id: str = ""
    is_admin: bool = False
    scopes: tuple[str, ...] = ()
    expires_at: int | None = None
