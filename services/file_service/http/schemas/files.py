"""Bodies of `/files`."""

from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.files.record import FileStatus
from file_service.http.schemas.fields import ClientId, Milliseconds, MimeType, Name, Sha256, SizeBytes


class NewFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that will be uploaded."""

    filename: Name
    size_bytes: SizeBytes
    content_type: MimeType | None = None
    sha256: Sha256 | None = None
    client_id: ClientId | None = None
    multipart: Annotated[bool | None, Meta(description="Upload in parts even if the file is small")] = None


class PartNumbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parts of a multipart upload to presign."""

    part_numbers: Annotated[list[Annotated[int, Meta(ge=1, le=10_000)]], Meta(min_length=1, max_length=1000)]


class PartEtag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An uploaded part with the ETag that the object store returned."""

    part_number: Annotated[int, Meta(ge=1, le=10_000)]
    etag: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[\x20-\x7e]+$")]


class Uploaded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Confirms a finished upload. Without `parts`, the service asks the object store which parts it has."""

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
    """Send the file in parts of this size (the last one may be smaller); POST /files/{id}/parts presigns them."""

    part_size_bytes: int
    part_count: int


UploadBody = SingleUpload | MultipartUpload


class FileCreated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file, and how to upload it while its bytes are missing."""

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
    """The presigned requests, in the order of the part numbers asked for."""

    parts: list[PresignedPart]


class ArrivedPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that the object store has."""

    part_number: int
    etag: str
    size_bytes: int


class ArrivedParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a multipart upload that have arrived, so that an interrupted upload can resume."""

    parts: list[ArrivedPart]
    part_size_bytes: int
    part_count: int


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of files, newest first; pass `next` as `after` to get the next page."""

    files: list[FileBody]
    next: str | None
