"""The object store port."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of an object; `sha256` (hex) only when the store itself has verified it."""

    size_bytes: int
    etag: str
    content_type: str | None = None
    sha256: str | None = None

    @property
    def entity_tag(self) -> str | None:
        """The ETag without its quotes; None when the store has none for whole objects, as rclone on a laptop."""
        return self.etag.strip('"') or None


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object in a listing; `modified_at` is by the store's clock (ms)."""

    key: str
    size_bytes: int
    modified_at: int
    etag: str = ""


class ObjectPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing, ordered by key; `after` is the cursor to the next page, None on the last one."""

    objects: tuple[StoredObject, ...]
    after: str | None = None


class OpenUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A multipart upload that is neither completed nor aborted; `started_at` is by the store's clock (ms)."""

    key: str
    upload_id: str
    started_at: int


class UploadPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of open uploads; `after` (key, upload id) is the cursor to the next page, None on the last one."""

    uploads: tuple[OpenUpload, ...]
    after: tuple[str, str] | None = None


class UploadedPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that the store has received."""

    part_number: int
    etag: str
    size_bytes: int = 0


class PresignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A signed request that its holder may send until `expires_at` (ms) with exactly this method, URL and headers."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: int


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """Size and hashes (hex), computed in one streaming pass; `etag` is the stored object's, None without one."""

    size_bytes: int
    sha256: str
    sha512: str
    etag: str | None = None


class ObjectStore(Protocol):
    """Objects by key. Users upload and download with presigned requests; their bytes never pass through a service."""

    async def ensure_bucket(self) -> None:
        """Create the bucket if it is missing (laptop and tests; Terraform creates it in production)."""

    async def ping(self) -> None:
        """Raise `ObjectStoreUnavailable` unless the store answers."""

    async def now_ms(self) -> int:
        """The store's own wall clock (ms), which dates its objects; may lag by up to its resolution of one second."""

    async def head(self, key: str) -> ObjectInfo | None:
        """Metadata of the object; None when it does not exist."""

    async def read_range(self, key: str, *, start: int, length: int) -> bytes:
        """Read a small range, shorter at the end of the object; raises `SourceGone` when the object does not exist."""

    async def download(self, key: str, path: Path) -> Digest:
        """Stream an object into a file and hash it in the same pass; raises `SourceGone`."""

    async def hash(self, key: str, *, size_bytes: int) -> Digest:
        """Read an object of about this size and return its hashes; raises `SourceGone`."""

    async def upload(self, path: Path, key: str, *, content_type: str, filename: str) -> Digest:
        """Stream a file into an object (multipart when large) and hash it in the same pass."""

    async def copy(
        self, source_key: str, target_key: str, *, size_bytes: int, content_type: str, filename: str
    ) -> ObjectInfo:
        """Copy an object of this size inside the store; `filename` names the copy in downloads. Raises `SourceGone`.

        Returns the metadata of the copy, whose content is not compared.
        """

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write a small object in one request."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; missing ones count as deleted."""

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys below the prefix of one conversion or file, never of the whole bucket."""

    async def list_page(self, prefix: str, *, after: str | None, limit: int) -> ObjectPage:
        """At most `limit` (up to 1,000) objects below a prefix, ordered by key, after the key `after`."""

    async def list_uploads(self, prefix: str, *, after: tuple[str, str] | None, limit: int) -> UploadPage | None:
        """At most `limit` (up to 1,000) open multipart uploads; None when this store cannot list them."""

    async def presign_put(
        self, key: str, *, size_bytes: int, content_type: str, sha256: str | None
    ) -> PresignedRequest:
        """A PUT of exactly this size and type; the store refuses other sizes."""

    async def presign_get(
        self, key: str, *, filename: str, content_type: str, inline: bool = False
    ) -> PresignedRequest:
        """A GET that downloads the object as `filename`."""

    async def start_multipart(self, key: str, *, content_type: str) -> str:
        """Start a multipart upload; returns its upload id."""

    async def presign_parts(self, key: str, upload_id: str, part_numbers: Sequence[int]) -> list[PresignedRequest]:
        """One PUT per part number (1 to 10,000)."""

    async def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """The received parts by number; raises `UploadLost` when the store does not know the upload.

        That is so after it was completed or aborted, and after the restart of a store that keeps uploads in memory.
        """

    async def knows_upload(self, key: str, upload_id: str) -> bool:
        """Whether the store knows this upload, in one small request however many parts it has."""

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Join the parts; raises `UploadRefused` when one is missing or its ETag differs. Idempotent.

        Raises `UploadLost` when neither the upload nor its object exists.
        """

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Abort an open upload; does nothing when the upload is unknown."""
