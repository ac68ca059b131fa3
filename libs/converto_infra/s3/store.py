"""The object store on any server that speaks the S3 API.

boto3 blocks, so every call runs in a thread of a bounded pool. Short calls and long transfers have separate pools, so
that a queue of uploads never delays a health check.
"""

import asyncio
import base64
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from converto_core.errors import ObjectStoreUnavailable, SourceGone, UploadLost, UploadRefused
from converto_core.ids import now_ms
from converto_core.ports.objects import Digest, ObjectInfo, ObjectPage, PresignedRequest, UploadedPart, UploadPage
from converto_infra import time_budget
from converto_infra.resilience import object_store_guard
from converto_infra.s3.bucket import Bucket
from converto_infra.s3.client import PARTS_DIFFER, translated
from converto_infra.settings import KIB, Settings
from converto_infra.threads import CallThreads

T = TypeVar("T")

CALL_THREADS = 16
TRANSFER_THREADS = 8
SIGNING_THREADS = 2  # of their own, because signing needs no server and must not wait for calls that do
SLOWEST_USEFUL_BYTES_PER_S = 256 * KIB  # slower transfers are cancelled, so that none runs for ever
KEYS_PER_DELETE = 1000  # the S3 API's limit


class S3ObjectStore:
    """`ObjectStore` on one bucket."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.guard = object_store_guard(settings)
        self._calls = CallThreads("object_store", CALL_THREADS)
        self._transfers = ThreadPoolExecutor(TRANSFER_THREADS, thread_name_prefix="s3-transfer")
        self._signing = ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="s3-sign")
        # Takes 0.3 s of CPU, so not in the event loop.
        self._bucket: Future[Bucket] = self._calls.submit(lambda: Bucket(settings))
        self._joins: dict[str, asyncio.Task[None]] = {}

    @classmethod
    def connect(cls, settings: Settings) -> "S3ObjectStore":
        """Create the store; it connects on first use."""
        return cls(settings)

    async def close(self) -> None:
        """Stop the threads; a running transfer ends when it checks for cancellation or its socket times out."""
        for join in self._joins.values():
            join.cancel()
        self._calls.close()
        self._transfers.shutdown(wait=False, cancel_futures=True)
        self._signing.shutdown(wait=False, cancel_futures=True)

    async def ensure_bucket(self) -> None:
        """Create the bucket if it is missing."""
        await self._repeatable(lambda bucket: bucket.ensure())

    async def ping(self) -> None:
        """Raise `ObjectStoreUnavailable` unless the bucket answers."""
        try:
            await self._once(lambda bucket: bucket.ping())
        except SourceGone as error:
            raise ObjectStoreUnavailable(detail=f"bucket {self._settings.s3_bucket} does not exist") from error

    async def now_ms(self) -> int:
        """The object store's wall clock, in whole seconds."""
        return await self._repeatable(lambda bucket: bucket.now_ms())

    async def head(self, key: str) -> ObjectInfo | None:
        """Size, type and checksum of an object; None when it does not exist."""
        return await self._repeatable(lambda bucket: bucket.head(key))

    async def read_range(self, key: str, *, start: int, length: int) -> bytes:
        """Bytes of a small range, fewer at the end of the object; raises `SourceGone`."""
        return await self._repeatable(lambda bucket: bucket.read_range(key, start, length))

    async def download(self, key: str, path: Path) -> Digest:
        """Stream an object into a file and hash it in the same pass; raises `SourceGone`."""
        found = await self.head(key)
        if found is None:
            raise SourceGone(detail=key)
        return await self._transfer(lambda bucket, stop: bucket.transfers.download(stop, key, path), found.size_bytes)

    async def hash(self, key: str, *, size_bytes: int) -> Digest:
        """Read an object and return its hashes; raises `SourceGone`."""
        return await self._transfer(lambda bucket, stop: bucket.transfers.hash(stop, key), size_bytes)

    async def upload(self, path: Path, key: str, *, content_type: str, filename: str) -> Digest:
        """Stream a file into an object, hash it in the same pass, and verify the stored size."""
        size_bytes = (await asyncio.to_thread(path.stat)).st_size
        how = {"ContentType": content_type, "ContentDisposition": content_disposition(filename)}
        digest = await self._transfer(lambda bucket, stop: bucket.transfers.upload(stop, path, key, how), size_bytes)
        stored = await self._check_whole(key, digest.size_bytes)
        return msgspec.structs.replace(digest, etag=stored.entity_tag)

    async def copy(
        self, source_key: str, target_key: str, *, size_bytes: int, content_type: str, filename: str
    ) -> ObjectInfo:
        """Copy an object inside the store, in parts when it is large, and verify the stored size."""
        how = {"ContentType": content_type, "ContentDisposition": content_disposition(filename)}
        await self._transfer(
            lambda bucket, stop: bucket.transfers.copy(stop, source_key, target_key, size_bytes, how), size_bytes
        )
        return await self._check_whole(target_key, size_bytes)

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store a small object whole."""
        await self._repeatable(lambda bucket: bucket.put(key, body, content_type))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; missing ones count as deleted."""
        for start in range(0, len(keys), KEYS_PER_DELETE):
            await self._delete(keys[start : start + KEYS_PER_DELETE])

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys with a prefix."""
        return await self._repeatable(lambda bucket: bucket.list_keys(prefix))

    async def list_page(self, prefix: str, *, after: str | None, limit: int) -> ObjectPage:
        """At most `limit` objects with a prefix, in order of keys, after the key `after`."""
        return await self._repeatable(lambda bucket: bucket.list_page(prefix, after, limit))

    async def list_uploads(self, prefix: str, *, after: tuple[str, str] | None, limit: int) -> UploadPage | None:
        """At most `limit` unfinished multipart uploads; None when the server cannot list them."""
        return await self._repeatable(lambda bucket: bucket.list_uploads(prefix, after, limit))

    async def presign_put(
        self, key: str, *, size_bytes: int, content_type: str, sha256: str | None
    ) -> PresignedRequest:
        """A PUT of exactly this size and type and, where the server checks it, with this SHA-256."""
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
        """A GET that downloads under this file name."""
        wanted = {
            "Key": key,
            "ResponseContentType": content_type,
            "ResponseContentDisposition": content_disposition(filename, inline=inline),
        }
        (request,) = await self._presign("get_object", [wanted], {})
        return request

    async def start_multipart(self, key: str, *, content_type: str) -> str:
        """Begin a multipart upload and return its upload id."""
        return await self._once(lambda bucket: bucket.start_multipart(key, content_type))

    async def presign_parts(self, key: str, upload_id: str, part_numbers: Sequence[int]) -> list[PresignedRequest]:
        """One PUT per part number."""
        wanted = [{"Key": key, "UploadId": upload_id, "PartNumber": number} for number in part_numbers]
        return await self._presign("upload_part", wanted, {})

    async def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """Uploaded parts, by number; raises `UploadLost`. Waits while its parts are being joined."""
        if (join := self._joins.get(upload_id)) is not None:
            await asyncio.wait((join,))
        return await self._list_parts(key, upload_id)

    async def knows_upload(self, key: str, upload_id: str) -> bool:
        """Whether the store knows this upload."""
        return await self._repeatable(lambda bucket: bucket.knows_upload(key, upload_id))

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Complete the upload; raises `UploadRefused` when a part is missing or its ETag differs. Safe to repeat.

        It compares with the uploaded parts first, because some servers drop the whole upload on a wrong list. Joining
        goes on when the caller gives up, and a repeated call waits for the same join: a server may need longer than
        one request lasts, and meanwhile it may list no upload and have no object yet.
        """
        if (join := self._joins.get(upload_id)) is None:
            join = asyncio.create_task(self._join(key, upload_id, parts))
            self._joins[upload_id] = join
            join.add_done_callback(lambda done: self._joined(upload_id, done))
        await asyncio.shield(join)

    def _joined(self, upload_id: str, join: asyncio.Task[None]) -> None:
        del self._joins[upload_id]
        if not join.cancelled():
            join.exception()  # perhaps nobody waits for it any more

    async def _join(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        try:
            listed = await self._list_parts(key, upload_id)
        except UploadLost:
            if await self.head(key) is None:
                raise
            return  # an earlier call has completed it
        arrived = {part.part_number: part.etag.strip('"') for part in listed}
        if not parts or any(arrived.get(part.part_number) != part.etag.strip('"') for part in parts):
            raise UploadRefused(PARTS_DIFFER)
        await self._repeatable(lambda bucket: bucket.complete_multipart(key, upload_id, parts))

    async def _list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        return await self._repeatable(lambda bucket: bucket.list_parts(key, upload_id))

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Abort an upload; does nothing when it is unknown."""
        await self._repeatable(lambda bucket: bucket.abort_multipart(key, upload_id))

    async def _check_whole(self, key: str, size_bytes: int) -> ObjectInfo:
        stored = await self.head(key)
        if stored is None or stored.size_bytes != size_bytes:
            raise ObjectStoreUnavailable(detail=f"{key} was stored incompletely")
        return stored

    async def _delete(self, keys: Sequence[str]) -> None:
        await self._repeatable(lambda bucket: bucket.delete(keys))

    async def _repeatable(self, call: Callable[[Bucket], T]) -> T:
        return await self.guard.run_repeatable(lambda: self._in_thread(call))

    async def _once(self, call: Callable[[Bucket], T]) -> T:
        return await self.guard.run(lambda: self._in_thread(call))

    async def _in_thread(self, call: Callable[[Bucket], T]) -> T:
        def run() -> T:
            with translated():
                return call(self._bucket.result())

        return await self._calls.run(run)

    async def _transfer(self, call: Callable[[Bucket, threading.Event], T], size_bytes: int) -> T:
        """Run a long call with a deadline of its own, outside the breaker, which judges short calls."""
        stop = threading.Event()

        def run() -> T:
            with translated():
                return call(self._bucket.result(), stop)

        deadline_s = self._settings.s3_timeout_s + size_bytes / SLOWEST_USEFUL_BYTES_PER_S
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._transfers, run)
        except TimeoutError as error:
            raise ObjectStoreUnavailable(detail=f"the transfer did not finish within {deadline_s:.0f} s") from error
        finally:
            stop.set()  # after a cancellation the thread must not keep transferring

    async def _presign(
        self, operation: str, parameters: Sequence[dict[str, Any]], headers: dict[str, str]
    ) -> list[PresignedRequest]:
        """Sign requests in a thread, because a thousand take a second of CPU."""
        is_download = operation == "get_object"
        ttl_s = self._settings.download_url_ttl_s if is_download else self._settings.upload_url_ttl_s
        expires_at = now_ms() + ttl_s * 1000

        def sign() -> list[str]:
            bucket = self._bucket.result()
            return [bucket.sign(operation, params, ttl_s) for params in parameters]

        with time_budget.uncounted():
            urls = await asyncio.get_running_loop().run_in_executor(self._signing, sign)
        method = "GET" if is_download else "PUT"
        return [PresignedRequest(method=method, url=url, headers=headers, expires_at=expires_at) for url in urls]


def content_disposition(filename: str, *, inline: bool = False) -> str:
    """`Content-Disposition` for any file name: an ASCII fallback, and the real name as in RFC 6266."""
    kind = "inline" if inline else "attachment"
    plain = "".join(sign if " " <= sign <= "~" and sign not in '"\\%;' else "_" for sign in filename)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
