"""In-memory twin of the object store. It signs `memory://` requests, and `send` answers them as a server would."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from converto_core.errors import ObjectStoreUnavailable, SourceGone, UploadLost, UploadRefused
from converto_core.ids import now_ms
from converto_core.ports.objects import (
    Digest,
    ObjectInfo,
    ObjectPage,
    OpenUpload,
    PresignedRequest,
    StoredObject,
    UploadedPart,
    UploadPage,
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A server's answer to a presigned request."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


class _Object(msgspec.Struct, frozen=True, kw_only=True):
    body: bytes
    content_type: str
    etag: str
    modified_at: int


class _Upload(msgspec.Struct, kw_only=True):
    key: str
    content_type: str
    started_at: int
    parts: dict[int, bytes] = {}


class MemoryObjectStore:
    """Twin of `ObjectStore`; while `is_away` is set, every call fails as if the server were down.

    Set `can_list_uploads` to False to act like a server that cannot list unfinished uploads, and `refuses_deletes` to
    True for one that goes away after it has answered a listing. Reading or writing a key for which `is_broken` is true
    fails, as on a bad disk, while all other calls are answered. Without `has_etags`, whole objects have no ETag.
    """

    def __init__(
        self, *, upload_ttl_s: float = 900, download_ttl_s: float = 300, clock: Callable[[], int] = now_ms
    ) -> None:
        """`clock` is the wall clock (ms) that dates objects."""
        self.is_away = False
        self.can_list_uploads = True
        self.refuses_deletes = False
        self.has_etags = True
        self.is_broken: Callable[[str], bool] = lambda key: False
        self._clock = clock
        self._upload_ttl_s, self._download_ttl_s = upload_ttl_s, download_ttl_s
        self._secret = secrets.token_bytes(32)
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[str, _Upload] = {}

    async def ensure_bucket(self) -> None:
        """Do nothing: there is always a bucket."""
        await self._answer()

    async def ping(self) -> None:
        """Raise `ObjectStoreUnavailable` while `is_away` is set."""
        await self._answer()

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def now_ms(self) -> int:
        """The clock that dates objects."""
        await self._answer()
        return self._clock()

    async def head(self, key: str) -> ObjectInfo | None:
        """Size, type and ETag of an object; None when it does not exist."""
        await self._answer()
        self._raise_if_broken(key)
        return self._info(key) if key in self._objects else None

    async def read_range(self, key: str, *, start: int, length: int) -> bytes:
        """Bytes of a range, fewer at the end; raises `SourceGone`."""
        return (await self._body(key))[start : start + length]

    async def download(self, key: str, path: Path) -> Digest:
        """Write the object into a file; raises `SourceGone`."""
        body = await self._body(key)
        await asyncio.to_thread(path.write_bytes, body)
        return _digest(body)

    async def hash(self, key: str, *, size_bytes: int) -> Digest:
        """Read the object; raises `SourceGone`."""
        del size_bytes  # sets a deadline where objects come over a network
        return _digest(await self._body(key))

    async def upload(self, path: Path, key: str, *, content_type: str, filename: str) -> Digest:
        """Store a file's bytes."""
        del filename  # a presigned GET carries the name
        body = await asyncio.to_thread(path.read_bytes)
        await self.put(key, body, content_type=content_type)
        return msgspec.structs.replace(_digest(body), etag=self._info(key).entity_tag)

    async def copy(
        self, source_key: str, target_key: str, *, size_bytes: int, content_type: str, filename: str
    ) -> ObjectInfo:
        """Copy an object; raises `SourceGone`."""
        del filename  # a presigned GET carries the name
        body = await self._body(source_key)
        if len(body) != size_bytes:
            raise ObjectStoreUnavailable(detail=f"{source_key} has {len(body)} bytes, not {size_bytes}")
        self._raise_if_broken(target_key)
        self._store(target_key, body, content_type)
        return self._info(target_key)

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store a small object whole."""
        await self._answer()
        self._raise_if_broken(key)
        self._store(key, body, content_type)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; missing ones count as deleted."""
        await self._answer()
        if self.refuses_deletes:
            raise ObjectStoreUnavailable(detail="the in-memory twin is set to refuse deletes")
        for key in keys:
            self._objects.pop(key, None)

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys with a prefix."""
        await self._answer()
        return sorted(key for key in self._objects if key.startswith(prefix))

    async def list_page(self, prefix: str, *, after: str | None, limit: int) -> ObjectPage:
        """At most `limit` objects with a prefix, in order of keys, after the key `after`."""
        keys = [key for key in await self.list_keys(prefix) if after is None or key > after]
        return ObjectPage(
            objects=tuple(self._stored(key) for key in keys[:limit]),
            after=keys[limit - 1] if len(keys) > limit else None,
        )

    async def list_uploads(self, prefix: str, *, after: tuple[str, str] | None, limit: int) -> UploadPage | None:
        """At most `limit` unfinished multipart uploads; None when `can_list_uploads` is False."""
        await self._answer()
        if not self.can_list_uploads:
            return None
        begun = sorted((upload.key, upload_id) for upload_id, upload in self._uploads.items())
        found = [one for one in begun if one[0].startswith(prefix) and (after is None or one > after)]
        uploads = [
            OpenUpload(key=key, upload_id=upload_id, started_at=self._uploads[upload_id].started_at)
            for key, upload_id in found[:limit]
        ]
        return UploadPage(uploads=tuple(uploads), after=found[limit - 1] if len(found) > limit else None)

    async def presign_put(
        self, key: str, *, size_bytes: int, content_type: str, sha256: str | None
    ) -> PresignedRequest:
        """A PUT of exactly this size and type."""
        await self._answer()
        claims = {"size": str(size_bytes), "type": content_type, "sha256": sha256 or ""}
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        return self._sign("PUT", key, claims, headers)

    async def presign_get(
        self, key: str, *, filename: str, content_type: str, inline: bool = False
    ) -> PresignedRequest:
        """A GET that downloads under this file name."""
        await self._answer()
        kind = "inline" if inline else "attachment"
        disposition = f"{kind}; filename*=UTF-8''{quote(filename, safe='')}"
        return self._sign("GET", key, {"type": content_type, "disposition": disposition}, {})

    async def start_multipart(self, key: str, *, content_type: str) -> str:
        """Begin a multipart upload."""
        await self._answer()
        upload_id = secrets.token_hex(16)
        self._uploads[upload_id] = _Upload(key=key, content_type=content_type, started_at=self._clock())
        return upload_id

    async def presign_parts(self, key: str, upload_id: str, part_numbers: Sequence[int]) -> list[PresignedRequest]:
        """One PUT per part number."""
        await self._answer()
        return [self._sign("PUT", key, {"upload": upload_id, "part": str(number)}, {}) for number in part_numbers]

    async def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """Uploaded parts, by number; raises `UploadLost`."""
        await self._answer()
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise UploadLost(detail=f"{key}: unknown upload")
        return [
            UploadedPart(part_number=number, etag=_etag(body), size_bytes=len(body))
            for number, body in sorted(upload.parts.items())
        ]

    async def knows_upload(self, key: str, upload_id: str) -> bool:
        """Whether the upload is known."""
        await self._answer()
        upload = self._uploads.get(upload_id)
        return upload is not None and upload.key == key

    def forget_uploads(self) -> None:
        """Forget all unfinished multipart uploads, as a restart of rclone does."""
        self._uploads.clear()

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Complete the upload; raises `UploadRefused` when a part is missing or differs, or `UploadLost`."""
        await self._answer()
        upload = self._uploads.get(upload_id)
        if upload is None and key in self._objects:
            return
        if upload is None:
            raise UploadLost(detail=f"{key}: unknown upload")
        if not parts or any(_differs(upload, part) for part in parts):
            raise UploadRefused(
                "A part of the upload is missing, or differs from the one that was uploaded. Upload the file again."
            )
        ordered = sorted(parts, key=lambda part: part.part_number)
        self._store(key, b"".join(upload.parts[part.part_number] for part in ordered), upload.content_type)
        del self._uploads[upload_id]

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Abort an upload."""
        await self._answer()
        self._uploads.pop(upload_id, None)

    async def send(
        self, request: PresignedRequest, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Answer a presigned request as the server of the URL would; `headers` default to those of the request."""
        await self._answer()
        sent = {name.lower(): value for name, value in (request.headers if headers is None else headers).items()}
        parts = urlsplit(request.url)
        claims = dict(parse_qsl(parts.query, keep_blank_values=True))
        key = unquote(parts.path.lstrip("/"))
        if not self._is_signed(request.method, key, claims) or int(claims["expires"]) < now_ms():
            return Answer(status=403)
        return self._get(key, claims) if request.method == "GET" else self._put(key, claims, sent, body)

    def _get(self, key: str, claims: dict[str, str]) -> Answer:
        found = self._objects.get(key)
        if found is None:
            return Answer(status=404)
        headers = {"content-type": claims["type"], "content-disposition": claims["disposition"]}
        return Answer(status=200, headers=headers, body=found.body)

    def _put(self, key: str, claims: dict[str, str], sent: dict[str, str], body: bytes) -> Answer:
        if "part" in claims:
            return self._put_part(claims, body)
        if len(body) != int(claims["size"]) or sent.get("content-type") != claims["type"]:
            return Answer(status=403)
        if claims["sha256"] not in ("", hashlib.sha256(body).hexdigest()):
            return Answer(status=400)
        return Answer(status=200, headers={"etag": self._store(key, body, claims["type"])})

    def _put_part(self, claims: dict[str, str], body: bytes) -> Answer:
        upload = self._uploads.get(claims["upload"])
        if upload is None:
            return Answer(status=404)
        upload.parts[int(claims["part"])] = body
        return Answer(status=200, headers={"etag": _etag(body)})

    def _store(self, key: str, body: bytes, content_type: str) -> str:
        self._objects[key] = _Object(body=body, content_type=content_type, etag=_etag(body), modified_at=self._clock())
        return self._objects[key].etag

    def _info(self, key: str) -> ObjectInfo:
        found = self._objects[key]
        return ObjectInfo(size_bytes=len(found.body), etag=self._shown_etag(found), content_type=found.content_type)

    def _shown_etag(self, found: _Object) -> str:
        return found.etag if self.has_etags else '""'

    def _stored(self, key: str) -> StoredObject:
        found = self._objects[key]
        return StoredObject(
            key=key, size_bytes=len(found.body), modified_at=found.modified_at, etag=self._shown_etag(found)
        )

    def _sign(self, method: str, key: str, claims: dict[str, str], headers: dict[str, str]) -> PresignedRequest:
        ttl_s = self._download_ttl_s if method == "GET" else self._upload_ttl_s
        expires_at = now_ms() + int(ttl_s * 1000)
        claims = claims | {"expires": str(expires_at)}
        query = urlencode(claims | {"signature": self._signature(method, key, claims)})
        url = f"memory://objects/{quote(key)}?{query}"
        return PresignedRequest(method=method, url=url, headers=headers, expires_at=expires_at)

    def _is_signed(self, method: str, key: str, claims: dict[str, str]) -> bool:
        signature = claims.pop("signature", "")
        return hmac.compare_digest(signature, self._signature(method, key, claims))

    def _signature(self, method: str, key: str, claims: Mapping[str, str]) -> str:
        text = "\n".join([method, key, *(f"{name}={value}" for name, value in sorted(claims.items()))])
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()

    async def _body(self, key: str) -> bytes:
        await self._answer()
        if key not in self._objects:
            raise SourceGone(detail=key)
        self._raise_if_broken(key)
        return self._objects[key].body

    def _raise_if_broken(self, key: str) -> None:
        if self.is_broken(key):
            raise ObjectStoreUnavailable(detail=f"{key}: InternalError")

    async def _answer(self) -> None:
        await asyncio.sleep(0)  # lets other tasks run, as a network call would
        if self.is_away:
            raise ObjectStoreUnavailable(detail="the in-memory twin is set to be unavailable")


def _differs(upload: _Upload, part: UploadedPart) -> bool:
    body = upload.parts.get(part.part_number)
    return body is None or _etag(body) != part.etag


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _digest(body: bytes) -> Digest:
    return Digest(
        size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest(), sha512=hashlib.sha512(body).hexdigest()
    )
