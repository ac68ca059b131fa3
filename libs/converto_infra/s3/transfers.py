"""Blocking transfers of whole objects, hashed on the way; boto3's transfer manager splits large ones into parts."""

import hashlib
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from s3transfer.subscribers import BaseSubscriber

from converto_core.errors import ObjectStoreUnavailable
from converto_core.ports.objects import Digest
from converto_infra.settings import MIB

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 1 * MIB
COPY_IN_UPLOAD_PARTS = 4  # size of a copy without parts, and of a copy's parts: few calls, each within its deadline
MAX_PARTS = 10_000  # the S3 API's limit


class Transfers:
    """Uploads, downloads and copies within one bucket.

    Each blocks its thread, moves one part at a time and holds about two parts in memory. Each ends with
    `ObjectStoreUnavailable` when `stop` is set; the transfer manager then aborts the multipart upload.
    """

    def __init__(self, client: "S3Client", bucket: str, *, part_size_bytes: int) -> None:
        self._s3, self._bucket, self._part_size_bytes = client, bucket, part_size_bytes

    def download(self, stop: threading.Event, key: str, path: Path) -> Digest:
        """Stream an object into a file."""
        # Not `with body`: that gives the raw stream, which takes a cut connection for the end of the object.
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]
        with closing(body), path.open("wb") as target:
            source = _HashingReader(body, stop)
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
        return source.digest()

    def hash(self, stop: threading.Event, key: str) -> Digest:
        """Read an object and keep none of it."""
        with closing(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]) as body:
            source = _HashingReader(body, stop)
            while source.read(CHUNK_BYTES):
                pass
        return source.digest()

    def upload(self, stop: threading.Event, path: Path, key: str, extra: dict[str, Any]) -> Digest:
        """Stream a file into an object; `extra` holds the content type and the like."""
        config = _config(self._part_size_bytes, path.stat().st_size)
        with path.open("rb") as stream, create_transfer_manager(self._s3, config) as transfers:
            source = _HashingReader(stream, stop)
            # `upload_fileobj` does the same without subscribers, so it would read on to the end after a failed part.
            transfers.upload(source, self._bucket, key, extra, subscribers=[source]).result()  # type: ignore[arg-type]
        return source.digest()

    def copy(self, stop: threading.Event, source: str, key: str, size_bytes: int, extra: dict[str, Any]) -> None:
        """Copy an object of this size inside the bucket."""
        config = _config(COPY_IN_UPLOAD_PARTS * self._part_size_bytes, size_bytes)
        replaced = {"MetadataDirective": "REPLACE", **extra}
        place: Any = {"Bucket": self._bucket, "Key": source}
        check = partial(_raise_if, stop)
        try:
            self._s3.copy(place, self._bucket, key, ExtraArgs=replaced, Config=config, Callback=check)
        except KeyError:
            # rclone copies no parts: it stores empty ones and answers without an ETag. So the bytes pass through here.
            config = _config(self._part_size_bytes, size_bytes)
            with closing(self._s3.get_object(Bucket=self._bucket, Key=source)["Body"]) as body:
                self._s3.upload_fileobj(body, self._bucket, key, ExtraArgs=extra, Config=config, Callback=check)


def _config(part_bytes: int, size_bytes: int) -> TransferConfig:
    """Parts of this size, or larger ones where there would be too many. Without threads, parts are sent in order."""
    part_bytes = max(part_bytes, -(-size_bytes // MAX_PARTS))
    return TransferConfig(
        multipart_threshold=part_bytes + 1,  # a file of exactly one part is sent whole
        multipart_chunksize=part_bytes,
        use_threads=False,
        preferred_transfer_client="classic",  # the native client, where it is installed, has threads of its own
    )


class _Readable(Protocol):
    def read(self, amt: int = ..., /) -> bytes: ...


class _HashingReader(BaseSubscriber):
    """A stream that hashes what is read from it, and ends when the transfer that reads it has failed.

    It cannot seek on purpose: s3transfer then reads each byte once and in order, which one pass of hashing needs.
    """

    def __init__(self, stream: _Readable, stop: threading.Event) -> None:
        self._stream, self._stop, self._transfer = stream, stop, None
        self._sha256, self._sha512, self._size_bytes = hashlib.sha256(), hashlib.sha512(), 0

    def on_queued(self, future: Any, **_kwargs: Any) -> None:
        """Remember the transfer; called by s3transfer before the first byte is read."""
        self._transfer = future

    def read(self, size: int = -1) -> bytes:
        _raise_if(self._stop)
        if self._transfer is not None and self._transfer.done():
            raise ObjectStoreUnavailable(detail="a part of the upload failed")  # s3transfer keeps the first error
        chunk = self._stream.read(size)
        self._sha256.update(chunk)
        self._sha512.update(chunk)
        self._size_bytes += len(chunk)
        return chunk

    def digest(self) -> Digest:
        return Digest(size_bytes=self._size_bytes, sha256=self._sha256.hexdigest(), sha512=self._sha512.hexdigest())


def _raise_if(stop: threading.Event, _transferred_bytes: int = 0) -> None:
    if stop.is_set():
        raise ObjectStoreUnavailable(detail="the transfer was cancelled")
