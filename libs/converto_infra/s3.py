"""The object store on anything that speaks the S3 API; the only file that imports boto3.

boto3 blocks, so every call runs in a thread of a bounded pool: short calls and long transfers have pools of their own,
so that a queue of uploads never holds up a health check. It knows nothing of conversions.
"""

import asyncio
import base64
import contextlib
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from converto_core.errors import ConvertoError, ObjectStoreUnavailable, SourceGone, UploadRefused
from converto_core.ids import now_ms
from converto_core.ports import Digest, ObjectInfo, PresignedRequest, UploadedPart
from converto_infra.resilience import object_store_guard
from converto_infra.settings import KIB, MIB, Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

CALL_THREADS = 16
TRANSFER_THREADS = 8
CHUNK_BYTES = 1 * MIB
SLOWEST_USEFUL_BYTES_PER_S = 256 * KIB  # a transfer slower than this is given up, so that none waits without end
CONNECT_TIMEOUT_S = 3
MOST_PARTS = 10_000  # the S3 API's limit
KEYS_PER_DELETE = 1000  # the S3 API's limit
GONE = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
REFUSED = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"}


class _Clients(msgspec.Struct, frozen=True):
    """`inner` is for our own calls; `public` writes the host into presigned URLs by which clients know the store."""

    inner: Any
    public: Any


class S3ObjectStore:
    """`ObjectStore` on one bucket."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._bucket = settings, settings.s3_bucket
        self.guard = object_store_guard(settings)
        self._calls = ThreadPoolExecutor(CALL_THREADS, thread_name_prefix="s3-call")
        self._transfers = ThreadPoolExecutor(TRANSFER_THREADS, thread_name_prefix="s3-transfer")
        self._clients: Future[_Clients] = self._calls.submit(_make_clients, settings)  # takes 0.3 s of CPU

    @classmethod
    def connect(cls, settings: Settings) -> "S3ObjectStore":
        """Make the store; connections are opened when they are first needed."""
        return cls(settings)

    async def close(self) -> None:
        """End the threads; a transfer that still runs ends with its socket."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._transfers.shutdown(wait=False, cancel_futures=True)

    async def ensure_bucket(self) -> None:
        """Create the bucket if it is missing."""
        await self._read(self._create_bucket_if_missing)

    async def ping(self) -> None:
        """Raise `ObjectStoreUnavailable` unless the bucket answers."""
        await self._write(lambda s3: s3.head_bucket(Bucket=self._bucket))

    async def head(self, key: str) -> ObjectInfo | None:
        """What is known of the object; None when it is not there."""
        return await self._read(lambda s3: self._head(s3, key))

    async def read_range(self, key: str, *, start: int, length: int) -> bytes:
        """Bytes of a small range, fewer at the end; raises `SourceGone`."""
        return await self._read(lambda s3: self._read_range(s3, key, start, length))

    async def download(self, key: str, path: Path) -> Digest:
        """Stream an object into a file and hash it on the way; raises `SourceGone`."""
        found = await self.head(key)
        if found is None:
            raise SourceGone(detail=key)
        return await self._transfer(lambda s3, stop: self._download(s3, stop, key, path), found.size_bytes)

    async def upload(self, path: Path, key: str, *, content_type: str, filename: str) -> Digest:
        """Stream a file into an object, hash it in the same pass, and see that the store holds all of it."""
        size_bytes = (await asyncio.to_thread(path.stat)).st_size
        how = {"ContentType": content_type, "ContentDisposition": content_disposition(filename)}
        digest = await self._transfer(lambda s3, stop: self._upload(s3, stop, path, key, how), size_bytes)
        stored = await self.head(key)
        if stored is None or stored.size_bytes != digest.size_bytes:
            raise ObjectStoreUnavailable(detail=f"{key} was not stored whole")
        return digest

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store a small object whole."""
        await self._read(lambda s3: s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those not there count as deleted."""
        for start in range(0, len(keys), KEYS_PER_DELETE):
            batch = keys[start : start + KEYS_PER_DELETE]
            await self._read(functools.partial(self._delete, keys=batch))

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys below a prefix."""
        return await self._read(lambda s3: self._list_keys(s3, prefix))

    async def presign_put(
        self, key: str, *, size_bytes: int, content_type: str, sha256: str | None
    ) -> PresignedRequest:
        """A PUT of exactly this size and type (and, where the store checks it, with this SHA-256)."""
        signed: dict[str, Any] = {"ContentType": content_type, "ContentLength": size_bytes}
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        if sha256 is not None:
            signed["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
            headers["x-amz-checksum-sha256"] = signed["ChecksumSHA256"]
        (request,) = await self._presign("put_object", [{"Key": key, **signed}], headers)
        return request

    async def presign_get(
        self, key: str, *, filename: str, content_type: str, inline: bool = False
    ) -> PresignedRequest:
        """A GET that downloads under a readable name."""
        wanted = {
            "Key": key,
            "ResponseContentType": content_type,
            "ResponseContentDisposition": content_disposition(filename, inline=inline),
        }
        (request,) = await self._presign("get_object", [wanted], {})
        return request

    async def start_multipart(self, key: str, *, content_type: str) -> str:
        """Begin a multipart upload; its upload id."""
        begun = await self._write(
            lambda s3: s3.create_multipart_upload(Bucket=self._bucket, Key=key, ContentType=content_type)
        )
        return begun["UploadId"]

    async def presign_parts(self, key: str, upload_id: str, part_numbers: Sequence[int]) -> list[PresignedRequest]:
        """One PUT for each part number."""
        wanted = [{"Key": key, "UploadId": upload_id, "PartNumber": number} for number in part_numbers]
        return await self._presign("upload_part", wanted, {})

    async def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """Parts that have arrived, by number; empty when the upload is unknown."""
        return await self._read(lambda s3: self._list_parts(s3, key, upload_id))

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Join the parts; raises `UploadRefused` when one is missing or its ETag differs. Safe to repeat."""
        arrived = {part.part_number: part.etag.strip('"') for part in await self.list_parts(key, upload_id)}
        if not arrived and await self.head(key) is not None:
            return
        if not parts or any(arrived.get(part.part_number) != part.etag.strip('"') for part in parts):
            raise UploadRefused("A part of the upload is missing or is not the one that was sent")
        await self._read(lambda s3: self._complete_multipart(s3, key, upload_id, parts))

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Drop an unfinished upload; unknown ones are fine."""
        await self._read(lambda s3: self._abort_multipart(s3, key, upload_id))

    async def _read(self, call: "Callable[[S3Client], T]") -> T:
        """Run a call that is safe to repeat."""
        return await self.guard.run_repeatable(lambda: self._in_thread(call))

    async def _write(self, call: "Callable[[S3Client], T]") -> T:
        return await self.guard.run(lambda: self._in_thread(call))

    async def _in_thread(self, call: "Callable[[S3Client], T]") -> T:
        def run() -> T:
            with _translated():
                return call(self._clients.result().inner)

        return await asyncio.get_running_loop().run_in_executor(self._calls, run)

    async def _transfer(self, call: "Callable[[S3Client, threading.Event], T]", size_bytes: int) -> T:
        """Run a long call outside the breaker, which counts short ones, but not without a deadline."""
        stop = threading.Event()

        def run() -> T:
            with _translated():
                return call(self._clients.result().inner, stop)

        deadline_s = self._settings.s3_timeout_s + size_bytes / SLOWEST_USEFUL_BYTES_PER_S
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._transfers, run)
        except TimeoutError as error:
            raise ObjectStoreUnavailable(detail=f"no end of a transfer within {deadline_s:.0f} s") from error
        finally:
            stop.set()  # after a cancellation the thread must not go on moving bytes

    async def _presign(
        self, operation: str, wanted: Sequence[dict[str, Any]], headers: dict[str, str]
    ) -> list[PresignedRequest]:
        """Sign requests; that is arithmetic (about 1 ms each), no call to the store, but too much for the loop."""
        is_download = operation == "get_object"
        ttl_s = self._settings.download_url_ttl_s if is_download else self._settings.upload_url_ttl_s
        expires_at = now_ms() + ttl_s * 1000

        def sign() -> list[str]:
            client = self._clients.result().public
            return [
                client.generate_presigned_url(operation, Params={"Bucket": self._bucket, **params}, ExpiresIn=ttl_s)
                for params in wanted
            ]

        urls = await asyncio.get_running_loop().run_in_executor(self._calls, sign)
        method = "GET" if is_download else "PUT"
        return [PresignedRequest(method=method, url=url, headers=headers, expires_at=expires_at) for url in urls]

    def _create_bucket_if_missing(self, s3: "S3Client") -> None:
        try:
            s3.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if _code(error) not in GONE | {"NoSuchBucket"}:
                raise
            self._create_bucket(s3)

    def _create_bucket(self, s3: "S3Client") -> None:
        region: Any = self._settings.s3_region
        try:
            if region == "us-east-1":  # the one region that must not be named here
                s3.create_bucket(Bucket=self._bucket)
            else:
                s3.create_bucket(Bucket=self._bucket, CreateBucketConfiguration={"LocationConstraint": region})
        except ClientError as error:
            if _code(error) != "BucketAlreadyOwnedByYou":  # another process was faster
                raise

    def _head(self, s3: "S3Client", key: str) -> ObjectInfo | None:
        try:
            found = s3.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if _code(error) in GONE:
                return None
            raise
        return ObjectInfo(
            size_bytes=found["ContentLength"],
            etag=found["ETag"],
            content_type=found.get("ContentType"),
            sha256=_verified_sha256(found.get("ChecksumSHA256"), found.get("ChecksumType")),
        )

    def _read_range(self, s3: "S3Client", key: str, start: int, length: int) -> bytes:
        try:
            found = s3.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={start}-{start + length - 1}")
        except ClientError as error:
            if _code(error) in {"InvalidRange", "416"}:
                return b""
            raise
        return found["Body"].read()

    def _download(self, s3: "S3Client", stop: threading.Event, key: str, path: Path) -> Digest:
        seen = _Hashing()
        body = s3.get_object(Bucket=self._bucket, Key=key)["Body"]
        with body, path.open("wb") as target:
            for chunk in body.iter_chunks(CHUNK_BYTES):
                _stop_if(stop)
                seen.update(chunk)
                target.write(chunk)
        return seen.digest()

    def _upload(self, s3: "S3Client", stop: threading.Event, path: Path, key: str, how: dict[str, Any]) -> Digest:
        size_bytes = path.stat().st_size
        part_bytes = max(self._settings.part_size_bytes, -(-size_bytes // MOST_PARTS))
        if size_bytes > part_bytes:
            return self._upload_parts(s3, _chunks(path, part_bytes, stop), key, how)
        seen = _Hashing()
        body = seen.update(path.read_bytes())
        s3.put_object(Bucket=self._bucket, Key=key, Body=body, **how)
        return seen.digest()

    def _upload_parts(self, s3: "S3Client", chunks: Iterator[bytes], key: str, how: dict[str, Any]) -> Digest:
        """Upload part by part; what fails in the middle is aborted, so that nobody pays for its parts."""
        seen, parts = _Hashing(), []
        upload: dict[str, Any] = {"Bucket": self._bucket, "Key": key}
        upload["UploadId"] = s3.create_multipart_upload(**upload, **how)["UploadId"]
        try:
            for number, chunk in enumerate(chunks, start=1):
                sent = s3.upload_part(**upload, PartNumber=number, Body=seen.update(chunk))
                parts.append(UploadedPart(part_number=number, etag=sent["ETag"]))
            self._complete_multipart(s3, key, upload["UploadId"], parts)
        except BaseException:
            with contextlib.suppress(ClientError, BotoCoreError):  # the first error is the one to tell
                s3.abort_multipart_upload(**upload)
            raise
        return seen.digest()

    def _delete(self, s3: "S3Client", *, keys: Sequence[str]) -> None:
        wanted: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = s3.delete_objects(Bucket=self._bucket, Delete=wanted)
        failed = [entry for entry in answer.get("Errors", []) if entry.get("Code") not in GONE]
        if failed:
            raise ObjectStoreUnavailable(detail=f"{len(failed)} objects could not be deleted: {failed[0]}")

    def _list_keys(self, s3: "S3Client", prefix: str) -> list[str]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def _list_parts(self, s3: "S3Client", key: str, upload_id: str) -> list[UploadedPart]:
        pages = s3.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload_id)
        try:
            return [
                UploadedPart(part_number=part["PartNumber"], etag=part["ETag"], size_bytes=part["Size"])
                for page in pages
                for part in page.get("Parts", [])
            ]
        except ClientError as error:
            if _code(error) in GONE | {"NoSuchUpload"}:
                return []
            raise

    def _complete_multipart(self, s3: "S3Client", key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        ordered = sorted(parts, key=lambda part: part.part_number)
        wanted: Any = {"Parts": [{"PartNumber": part.part_number, "ETag": part.etag} for part in ordered]}
        try:
            s3.complete_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id, MultipartUpload=wanted)
        except ClientError as error:
            # The answer to an earlier, successful try may have been lost on the way.
            if _code(error) != "NoSuchUpload" or self._head(s3, key) is None:
                raise

    def _abort_multipart(self, s3: "S3Client", key: str, upload_id: str) -> None:
        try:
            s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            if _code(error) not in GONE | {"NoSuchUpload"}:
                raise


class _Hashing:
    """Both hashes and the size of bytes that pass once."""

    def __init__(self) -> None:
        self._sha256, self._sha512, self._size_bytes = hashlib.sha256(), hashlib.sha512(), 0

    def update(self, chunk: bytes) -> bytes:
        self._sha256.update(chunk)
        self._sha512.update(chunk)
        self._size_bytes += len(chunk)
        return chunk

    def digest(self) -> Digest:
        return Digest(size_bytes=self._size_bytes, sha256=self._sha256.hexdigest(), sha512=self._sha512.hexdigest())


def content_disposition(filename: str, *, inline: bool = False) -> str:
    """`Content-Disposition` for any name: plain ASCII for old readers, the true name as RFC 6266 writes it."""
    kind = "inline" if inline else "attachment"
    plain = "".join(sign if " " <= sign <= "~" and sign not in '"\\%;' else "_" for sign in filename)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _make_clients(settings: Settings) -> _Clients:
    session = boto3.session.Session()
    public = settings.s3_public_endpoint_url or settings.s3_endpoint_url
    inner = _make_client(session, settings, settings.s3_endpoint_url)
    return _Clients(inner, inner if public == settings.s3_endpoint_url else _make_client(session, settings, public))


def _make_client(session: "boto3.session.Session", settings: Settings, endpoint_url: str | None) -> "S3Client":
    secret = settings.s3_secret_access_key
    style: Any = {"addressing_style": settings.s3_addressing_style}
    return session.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            signature_version="s3v4",
            s3=style,
            request_checksum_calculation="when_required",  # other S3 servers do not know the newer default
            response_checksum_validation="when_required",
            connect_timeout=min(CONNECT_TIMEOUT_S, settings.s3_timeout_s),
            read_timeout=settings.s3_timeout_s,
            retries={"total_max_attempts": 1},  # the guard repeats; one retry inside another multiplies the wait
            max_pool_connections=CALL_THREADS + TRANSFER_THREADS,
        ),
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _translation(error) from error
    except BotoCoreError as error:
        raise ObjectStoreUnavailable(detail=f"{type(error).__name__}: {error}") from error


def _translation(error: ClientError) -> ConvertoError:
    detail = f"{error.operation_name}: {_code(error)}"
    if _code(error) in GONE:
        return SourceGone(detail=detail)
    if _code(error) in REFUSED:
        return UploadRefused("A part of the upload is missing or is not the one that was sent", detail=detail)
    return ObjectStoreUnavailable(detail=detail)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _verified_sha256(checksum: str | None, checksum_type: str | None) -> str | None:
    """Hex of a checksum that the store computed over the whole object.

    Only S3 itself names the type. Others hand back the uploader's header unread, and then it proves nothing.
    """
    return base64.b64decode(checksum).hex() if checksum and checksum_type == "FULL_OBJECT" else None


def _chunks(path: Path, size_bytes: int, stop: threading.Event) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(size_bytes):
            _stop_if(stop)
            yield chunk


def _stop_if(stop: threading.Event) -> None:
    if stop.is_set():
        raise ObjectStoreUnavailable(detail="the transfer was given up")
