"""The object store port."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the object store knows of an object; `sha256` in hex only where the store has verified it itself."""

    size_bytes: int
    etag: str
    content_type: str | None = None
    sha256: str | None = None


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a listing; `modified_at` is milliseconds since the epoch by the store's clock."""

    key: str
    size_bytes: int
    modified_at: int


class ObjectPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a listing in order of keys; `after` leads to the next page and is None on the last one."""

    objects: tuple[StoredObject, ...]
    after: str | None = None


class OpenUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A multipart upload that was begun and neither completed nor aborted; `started_at` by the store's clock (ms)."""

    key: str
    upload_id: str
    started_at: int


class UploadPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of unfinished uploads; `after` (key, upload id) leads to the next page and is None on the last one."""

    uploads: tuple[OpenUpload, ...]
    after: tuple[str, str] | None = None


class UploadedPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a multipart upload that has arrived."""

    part_number: int
    etag: str
    size_bytes: int = 0


class PresignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that whoever holds it may send until `expires_at` (ms): this method, URL and headers."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: int


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """Size and both hashes (hex) of bytes that were seen in one streaming pass."""

    size_bytes: int
    sha256: str
    sha512: str


class ObjectStore(Protocol):
    """Objects by key. Uploads and downloads of users go by presigned requests and never pass through a service."""

    async def ensure_bucket(self) -> None:
        """Create the bucket if it is missing (laptop and tests; in production Terraform makes it)."""

    async def ping(self) -> None:
        """Raise unless the store answers."""

    async def now_ms(self) -> int:
        """The store's own wall clock (ms), by which its objects are dated; may lag by the second it is told in."""

    async def head(self, key: str) -> ObjectInfo | None:
        """What is known of the object; None when it is not there."""

    async def read_range(self, key: str, *, start: int, length: int) -> bytes:
        """Bytes of a small range, fewer at the end; raises `SourceGone` when the object is not there."""

    async def download(self, key: str, path: Path) -> Digest:
        """Stream an object into a file and hash it on the way; raises `SourceGone`."""

    async def upload(self, path: Path, key: str, *, content_type: str, filename: str) -> Digest:
        """Stream a file into an object (multipart when large) and hash it in the same pass."""

    async def copy(
        self, source_key: str, target_key: str, *, size_bytes: int, content_type: str, filename: str
    ) -> None:
        """Copy an object of this size inside the store, under a readable name of its own; raises `SourceGone`."""

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store a small object whole."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those not there count as deleted."""

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys below a prefix: of one conversion or file, never of everything."""

    async def list_page(self, prefix: str, *, after: str | None, limit: int) -> ObjectPage:
        """At most `limit` (to 1,000) objects below a prefix, in order of keys, those after the key `after`."""

    async def list_uploads(self, prefix: str, *, after: tuple[str, str] | None, limit: int) -> UploadPage | None:
        """At most `limit` (to 1,000) unfinished multipart uploads; None when this store cannot list them."""

    async def presign_put(
        self, key: str, *, size_bytes: int, content_type: str, sha256: str | None
    ) -> PresignedRequest:
        """A PUT of exactly this size and type; other sizes are refused by the store."""

    async def presign_get(
        self, key: str, *, filename: str, content_type: str, inline: bool = False
    ) -> PresignedRequest:
        """A GET that downloads under a readable name."""

    async def start_multipart(self, key: str, *, content_type: str) -> str:
        """Begin a multipart upload; its upload id."""

    async def presign_parts(self, key: str, upload_id: str, part_numbers: Sequence[int]) -> list[PresignedRequest]:
        """One PUT for each part number (1 to 10,000)."""

    async def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """Parts that have arrived, by number; empty when the upload is unknown."""

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Join the parts; raises `UploadRefused` when one is missing or its ETag differs. Safe to repeat."""

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Drop an unfinished upload; unknown ones are fine."""
