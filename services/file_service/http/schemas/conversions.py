"""Request and response bodies, exactly as clients see them, and how records turn into them. It knows no HTTP."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.conversion.record import HistoryEvent, Lane, Status, Step
from converto_core.files.record import FileStatus

Name = Annotated[
    str, Meta(min_length=1, max_length=255, description="File name with its extension", examples=["deck.pptx"])
]
ClientId = Annotated[
    str, Meta(max_length=128, pattern=r"^[\x20-\x7e]+$", description="A label of yours, to list by", examples=["foyer"])
]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$", description="SHA-256 of the whole file, hex")]
MimeType = Annotated[str, Meta(max_length=200, pattern=r"^[!-~]+/[!-~]+(; ?[ -~]+)?$", examples=["application/pdf"])]
SizeBytes = Annotated[int, Meta(ge=0, le=2**53, description="Size of the file in bytes", examples=[48213])]
FormatName = Annotated[
    str, Meta(min_length=1, max_length=32, description="A format name of GET /formats", examples=["pdf"])
]
OptionName = Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
Text = Annotated[str, Meta(max_length=1000)]
Whole = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Option = bool | Whole | float | Text | None
Options = Annotated[dict[OptionName, Option], Meta(max_length=50, description="See options_schema of the route")]
Fresh = Annotated[bool, Meta(description="Run the programs again even if the same was converted before")]
Milliseconds = Annotated[int, Meta(description="Milliseconds since 1970, UTC")]


class NewFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that is about to be uploaded."""

    filename: Name
    size_bytes: SizeBytes
    content_type: MimeType | None = None
    sha256: Sha256 | None = None
    client_id: ClientId | None = None
    multipart: Annotated[bool | None, Meta(description="Upload in parts even if the file is small")] = None


class NewConversion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversion to be made, either of a file that is known (`file_id`) or of a new one (`file`)."""

    target_format: FormatName
    file_id: str | None = None
    file: NewFile | None = None
    append_file_ids: Annotated[
        list[str], Meta(max_length=100, description="Uploaded files of the same format to join to file_id, in order")
    ] = []
    options: Options = {}
    client_id: ClientId | None = None
    lane: Literal["normal", "bulk"] = "normal"
    fresh: Fresh = False


class NewPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversion to be thought through: of a file that is known, of a file name, or of a format."""

    target_format: FormatName
    file_id: str | None = None
    filename: Name | None = None
    source_format: FormatName | None = None
    options: Options = {}


class FormFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands beside `file` in a multipart/form-data request."""

    target_format: FormatName
    options: Options = {}
    client_id: ClientId | None = None
    lane: Literal["normal", "bulk"] = "normal"
    fresh: Fresh = False


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty body."""


class PartNumbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts of a multipart upload that need a presigned request."""

    part_numbers: Annotated[list[Annotated[int, Meta(ge=1, le=10_000)]], Meta(min_length=1, max_length=1000)]


class PartEtag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part that was uploaded, with the ETag the object store answered."""

    part_number: Annotated[int, Meta(ge=1, le=10_000)]
    etag: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[\x20-\x7e]+$")]


class Uploaded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The upload is finished. `parts` may be left out: the service then asks the object store itself."""

    parts: Annotated[list[PartEtag], Meta(max_length=10_000)] | None = None


class FileBody(msgspec.Struct, frozen=True, kw_only=True):
    """A file."""

    id: str
    filename: str
    extension: str
    size_bytes: int
    status: FileStatus
    version: int
    client_id: str | None
    declared_type: str | None
    detected_type: str | None
    detected_format: str | None
    sha256: str | None
    sha512: str | None
    created_at: Milliseconds
    updated_at: Milliseconds


class SingleUpload(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="single"):
    """Send the whole file with this one request; it needs no API key."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: Milliseconds


class MultipartUpload(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="multipart"):
    """Send the file in parts of this size (the last one is smaller); ask POST /files/{id}/parts for their requests."""

    part_size_bytes: int
    part_count: int


UploadBody = SingleUpload | MultipartUpload


class FileCreated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file and (as long as it is not there yet) how to upload it."""

    file: FileBody
    upload: UploadBody | None = None


class PresignedPart(msgspec.Struct, frozen=True, kw_only=True):
    """The request that uploads one part."""

    part_number: int
    method: str
    url: str
    headers: dict[str, str]
    expires_at: Milliseconds


class PresignedParts(msgspec.Struct, frozen=True):
    """The requests that were asked for."""

    parts: list[PresignedPart]


class ArrivedPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that the object store has."""

    part_number: int
    etag: str
    size_bytes: int


class ArrivedParts(msgspec.Struct, frozen=True, kw_only=True):
    """What has arrived of a multipart upload, so that it can go on after an interruption."""

    parts: list[ArrivedPart]
    part_size_bytes: int
    part_count: int


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of files, newest first; `next` is the `after` of the next page."""

    files: list[FileBody]
    next: str | None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Why a conversion ended without a result."""

    code: str
    message: str
    retryable: bool


class AttemptBody(msgspec.Struct, frozen=True, kw_only=True):
    """How one failed attempt ended."""

    attempt: int
    code: str
    message: str
    at: Milliseconds


class OutputBody(msgspec.Struct, frozen=True, kw_only=True):
    """One result file; `page` is null when there is only one."""

    page: int | None
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    sha512: str


class OutputLink(msgspec.Struct, frozen=True, kw_only=True):
    """One result file with the address it can be fetched from, without an API key, until `expires_at`."""

    page: int | None
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    sha512: str
    url: str
    expires_at: Milliseconds


class Outputs(msgspec.Struct, frozen=True):
    """All results of a conversion, in order."""

    outputs: list[OutputLink]


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go from here."""

    self: str
    outputs: str
    events: str
    history: str
    file: str


class SecondsBody(msgspec.Struct, frozen=True, kw_only=True):
    """A time between `low_s` and `high_s` seconds; `based_on` is how many earlier conversions it rests on."""

    low_s: float
    high_s: float
    based_on: int


class ConversionBody(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion. `remaining` is how long it still takes, as it was judged at `updated_at`; null while unknown.

    `notes` tell what the results do not hold of this very source. `from_cache`: the same had been converted before, so
    no program ran.
    """

    id: str
    file_id: str
    file_version: int
    filename: str
    client_id: str | None
    source_format: str | None
    target_format: str
    append_file_ids: list[str]
    options: dict[str, Any]
    status: Status
    percent: Annotated[float, Meta(ge=0, le=100)]
    stage: str | None
    remaining: SecondsBody | None
    lane: Lane
    attempt: int
    attempts_lost: int
    plan: tuple[Step, ...]
    worker: str | None
    errors: list[AttemptBody]
    error: ErrorBody | None
    outputs: list[OutputBody]
    notes: tuple[str, ...]
    output_filename: str
    from_cache: bool
    source_sha256: str | None
    engine_versions: dict[str, str]
    cancel_requested: bool
    created_at: Milliseconds
    updated_at: Milliseconds
    started_at: Milliseconds | None
    completed_at: Milliseconds | None
    expires_at: Milliseconds | None
    links: Links


class HistoryEntryBody(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a conversion; `number` counts from 1, `code` and `message` say why."""

    number: int
    event: HistoryEvent
    status: Status
    at: Milliseconds
    attempt: int
    attempts_lost: int
    lane: Lane
    worker: str | None
    code: str | None
    message: str | None


class HistoryBody(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a conversion, oldest first. `missing` entries could not be written when a process was killed."""

    history: list[HistoryEntryBody]
    missing: int


class ConversionCreated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversion, its file, and (as long as the file is not there yet) how to upload it."""

    conversion: ConversionBody
    file: FileBody
    upload: UploadBody | None = None


class FileConfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """The file as it was found, and the conversions that waited for it."""

    file: FileBody
    conversions: list[ConversionBody]


class ConversionList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of conversions, newest first; `next` is the `after` of the next page."""

    conversions: list[ConversionBody]
    next: str | None


class FormatBody(msgspec.Struct, frozen=True, kw_only=True):
    """One file format."""

    name: str
    title: str
    mime_type: str
    family: str
    extensions: tuple[str, ...]


class RouteBody(msgspec.Struct, frozen=True, kw_only=True):
    """One way from a source format to a target format, with all its steps and options."""

    source: str
    target: str
    converter: str
    engine: str
    engine_version: str
    family: str
    options_schema: dict[str, Any]
    steps: tuple[Step, ...]
    losses: tuple[str, ...]


class PlanStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan, and the program that takes it."""

    converter: str
    engine: str
    engine_version: str
    source_format: str
    target_format: str


class PlanBody(msgspec.Struct, frozen=True, kw_only=True):
    """How a conversion would go: its steps and options, how long it would run, and what it would not keep."""

    source_format: str
    target_format: str
    steps: list[PlanStep]
    options_schema: dict[str, Any]
    expected: SecondsBody
    losses: tuple[str, ...]


class Formats(msgspec.Struct, frozen=True, kw_only=True):
    """What can be converted at this moment."""

    formats: list[FormatBody]
    routes: list[RouteBody]


class SlotBody(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion that runs now; its id is null when it is not yours."""

    conversion_id: str | None
    started_at: Milliseconds
    pid: int | None


class WorkerBody(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that is alive."""

    id: str
    host: str
    pid: int
    started_at: Milliseconds
    seen_at: Milliseconds
    slots: int
    sandbox: str
    running: list[SlotBody]
    offers: list[str]
    is_stopping: bool


class Workers(msgspec.Struct, frozen=True):
    """All workers that are alive."""

    workers: list[WorkerBody]


class WhoAmI(msgspec.Struct, frozen=True):
    """Who the API key stands for, and whether it may see what concerns the whole installation (`/admin`)."""

    owner: str
    key_id: str
    is_admin: bool


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one dependency answers."""

    status: Literal["ok", "unavailable"]
    latency_ms: float
    error: str | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`, `degraded` (works, but new work waits for the broker) or `unavailable`."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, Check]
    sandbox: str | None = None


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"
