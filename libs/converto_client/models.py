"""The HTTP contract as frozen structs: what the file service answers, field by field. It knows nothing of HTTP itself.

Unknown fields are passed over and most fields have a default, so that an older client goes on with a newer server.
All times are milliseconds since the epoch, UTC.
"""

from typing import Any, Literal

import msgspec

TERMINAL = frozenset({"completed", "failed", "cancelled", "expired"})


class FieldError(msgspec.Struct, frozen=True):
    """One field at fault: JSON pointer and reason."""

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


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """How the bytes get to the object store: one presigned request, or parts that are presigned as they are needed."""

    kind: Literal["single", "multipart"]
    method: str = "PUT"
    url: str = ""
    headers: dict[str, str] = {}
    expires_at: int = 0
    part_size_bytes: int = 0
    part_count: int = 0


class FileWithUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A file record and how to upload its bytes; `upload` is None when they are there already."""

    file: FileRecord
    upload: Upload | None = None


class PartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The presigned request of one part."""

    part_number: int
    url: str
    method: str = "PUT"
    headers: dict[str, str] = {}
    expires_at: int = 0


class PartRequests(msgspec.Struct, frozen=True):
    """Presigned requests of some parts."""

    parts: tuple[PartRequest, ...]


class StoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part that the object store has."""

    part_number: int
    etag: str
    size_bytes: int = 0


class StoredParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that the object store has so far."""

    parts: tuple[StoredPart, ...]
    part_size_bytes: int
    part_count: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a conversion failed."""

    code: str
    message: str
    retryable: bool = False


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How one failed attempt ended."""

    attempt: int
    code: str
    message: str
    at: int = 0


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan."""

    converter: str
    source_format: str
    target_format: str


class OutputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One result as the record lists it; `page` is None for a single result."""

    filename: str
    size_bytes: int
    content_type: str = "application/octet-stream"
    page: int | None = None
    sha256: str | None = None
    sha512: str | None = None


class OutputLink(OutputRecord, frozen=True, kw_only=True):
    """One result with the presigned URL to fetch it."""

    url: str
    expires_at: int = 0


class OutputLinks(msgspec.Struct, frozen=True):
    """All results of a conversion."""

    outputs: tuple[OutputLink, ...]


class SecondsRange(msgspec.Struct, frozen=True, kw_only=True):
    """Between `low_s` and `high_s` seconds; `based_on` is how many earlier conversions it rests on."""

    low_s: float
    high_s: float
    based_on: int = 0


class ConversionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion as the server tells it."""

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

    @property
    def is_terminal(self) -> bool:
        """True when nothing will happen to it any more unless somebody asks."""
        return self.status in TERMINAL


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a conversion; `at` is milliseconds since 1970, UTC."""

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
    """What happened to a conversion, oldest first; `missing` entries were lost with a process that was killed."""

    history: tuple[HistoryEntry, ...]
    missing: int = 0


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a new conversion; `upload` is None when the bytes are there already."""

    conversion: ConversionRecord
    file: FileRecord
    upload: Upload | None = None


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a confirmed upload: the file, and every conversion that waited for it."""

    file: FileRecord
    conversions: tuple[ConversionRecord, ...] = ()


class ConversionPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of conversions, newest first; `next` is the cursor of the page after it."""

    conversions: tuple[ConversionRecord, ...]
    next: str | None = None


class FilePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of files, newest first; `next` is the cursor of the page after it."""

    files: tuple[FileRecord, ...]
    next: str | None = None


class FormatRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One file format the server knows."""

    name: str
    title: str = ""
    mime_type: str = ""
    family: str = ""
    extensions: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One way from a source format to a target format that this server offers, with its options as JSON Schema."""

    source: str
    target: str
    converter: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    family: str | None = None
    options_schema: dict[str, Any] = {}
    steps: tuple[StepRecord, ...] = ()
    losses: tuple[str, ...] = ()


class PlanStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan and the program that takes it."""

    source_format: str
    target_format: str
    converter: str = ""
    engine: str = ""
    engine_version: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a conversion would go: steps, options, how long it would run, and what it would not keep."""

    source_format: str
    target_format: str
    expected: SecondsRange
    steps: tuple[PlanStep, ...] = ()
    options_schema: dict[str, Any] = {}
    losses: tuple[str, ...] = ()


class Formats(msgspec.Struct, frozen=True, kw_only=True):
    """What this server can convert."""

    formats: tuple[FormatRecord, ...] = ()
    routes: tuple[Route, ...] = ()


class RunningSlot(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion that a worker runs at this moment."""

    conversion_id: str
    started_at: int = 0
    pid: int | None = None


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


class Workers(msgspec.Struct, frozen=True):
    """All workers that were heard of lately."""

    workers: tuple[WorkerRecord, ...]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """How one dependency of the file service is."""

    status: str
    latency_ms: float | None = None
    error: str | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the file service and each of its dependencies are."""

    status: str
    checks: dict[str, Check] = {}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose key it is."""

    owner: str
    key_id: str = ""
    is_admin: bool = False
