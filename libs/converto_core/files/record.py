"""The record of an uploaded source."""

from enum import StrEnum

import msgspec


class FileStatus(StrEnum):
    """`awaiting_upload` until the object store has the bytes, then `uploaded`, finally `deleted`."""

    AWAITING_UPLOAD = "awaiting_upload"
    UPLOADED = "uploaded"
    DELETED = "deleted"


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One uploaded source (behaviour I2). Times are milliseconds since the epoch, UTC.

    `declared_type` is the MIME type that the client named, `detected_type` the one found in the content. The hashes
    (hex) are set when the bytes first pass through converto: at once for small form uploads, otherwise by the worker.
    `look_due` is when the file service looks whether the upload has arrived, `looks` how often it has (see
    `LookSchedule`).
    """

    id: str
    owner: str
    filename: str
    extension: str
    size_bytes: int
    key: str
    created_at: int
    updated_at: int
    declared_type: str | None = None
    detected_type: str | None = None
    detected_format: str | None = None
    declared_sha256: str | None = None
    sha256: str | None = None
    sha512: str | None = None
    version: int = 1
    status: FileStatus = FileStatus.AWAITING_UPLOAD
    client_id: str | None = None
    upload_id: str | None = None
    part_size_bytes: int | None = None
    look_due: int | None = None
    looks: int = 0
    expires_at: int | None = None
