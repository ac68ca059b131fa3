"""Bodies of `/conversions`."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.conversion.record import HistoryEvent, Lane, Status, Step
from file_service.http.schemas.fields import ClientId, FormatName, Fresh, Milliseconds, Options, Password
from file_service.http.schemas.files import FileBody, NewFile, UploadBody


class NewConversion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversion to create, either of an existing file (`file_id`) or of a new one (`file`)."""

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


class FormFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a multipart/form-data request besides `file`."""

    target_format: FormatName
    options: Options = {}
    client_id: ClientId | None = None
    lane: Literal["normal", "bulk"] = "normal"
    fresh: Fresh = False


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run a conversion again; one that was created with a password needs it again."""

    password: Password | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Why a conversion has no result."""

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
    """One output file; `page` is null when there is only one."""

    page: int | None
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    sha512: str


class OutputLink(msgspec.Struct, frozen=True, kw_only=True):
    """One output file with a URL that downloads it without an API key until `expires_at`."""

    page: int | None
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    sha512: str
    url: str
    expires_at: Milliseconds


class Outputs(msgspec.Struct, frozen=True):
    """All outputs of a conversion, in order."""

    outputs: list[OutputLink]


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """URLs of related resources."""

    self: str
    outputs: str
    events: str
    history: str
    file: str


class SecondsBody(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate between `low_s` and `high_s` seconds, based on this many earlier conversions."""

    low_s: float
    high_s: float
    based_on: int


class ConversionBody(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion.

    `remaining` is the estimate, made at `updated_at`, of how long it still takes; null while unknown. `notes` say what
    of this source the outputs lost. `from_cache` means that an earlier conversion had the same result and no engine
    ran. `result_lost_at` is when the object store was found to have lost an output of this completed conversion; a
    retry makes it again.
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
    result_lost_at: Milliseconds | None
    links: Links


class HistoryEntryBody(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a conversion's history; `number` counts from 1, `code` and `message` give the reason."""

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
    """A conversion's history, oldest first. `missing` entries were lost when a process was killed."""

    history: list[HistoryEntryBody]
    missing: int


class ConversionCreatedBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversion, its file, and how to upload the file while its bytes are missing."""

    conversion: ConversionBody
    file: FileBody
    upload: UploadBody | None = None


class FileConfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """The verified file and the conversions that waited for it."""

    file: FileBody
    conversions: list[ConversionBody]


class ConversionList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of conversions, newest first; pass `next` as `after` to get the next page."""

    conversions: list[ConversionBody]
    next: str | None
