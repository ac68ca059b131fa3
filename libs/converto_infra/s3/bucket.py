"""Blocking calls on one S3 bucket, in threads of whoever holds it; the only file that imports boto3."""

import base64
import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from converto_core.errors import ConvertoError, ObjectStoreUnavailable, SourceGone, UploadRefused
from converto_core.ports.objects import (
    Digest,
    ObjectInfo,
    ObjectPage,
    OpenUpload,
    StoredObject,
    UploadedPart,
    UploadPage,
)
from converto_infra.settings import MIB, Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 1 * MIB
CONNECT_TIMEOUT_S = 3
CONNECTIONS = 24  # as many as threads that may call at once
COPY_IN_UPLOAD_PARTS = 4  # size of a copy without parts, and of a copy's parts: few calls, each within its deadline
MOST_PARTS = 10_000  # the S3 API's limit
GONE = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
CANNOT_LIST = {"NotImplemented", "MethodNotAllowed", "501", "405"}
REFUSED = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"}


class Bucket:
    """One bucket. Its methods block and raise only errors of ours.

    Presigned URLs are made by a second client when users know the store by another name than we do.
    """

    def __init__(self, settings: Settings) -> None:
        self._name, self._region = settings.s3_bucket, settings.s3_region
        self._part_size_bytes = settings.part_size_bytes
        session = boto3.session.Session()
        public = settings.s3_public_endpoint_url or settings.s3_endpoint_url
        self._s3 = self._public = _make_client(session, settings, settings.s3_endpoint_url)
        if public != settings.s3_endpoint_url:
            self._public = _make_client(session, settings, public)

    def sign(self, operation: str, params: dict[str, Any], ttl_s: int) -> str:
        """A presigned URL; arithmetic of about 1 ms, no call to the store."""
        wanted = {"Bucket": self._name, **params}
        return self._public.generate_presigned_url(operation, Params=wanted, ExpiresIn=ttl_s)

    def ping(self) -> None:
        """Raise unless the bucket is there."""
        self._s3.head_bucket(Bucket=self._name)

    def now_ms(self) -> int:
        """The store's own wall clock, as the date of its answer tells it."""
        answer = self._s3.head_bucket(Bucket=self._name)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if date is None:
            raise ObjectStoreUnavailable(detail="the object store does not date its answers")
        return _ms(parsedate_to_datetime(date))

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Store a small object whole."""
        self._s3.put_object(Bucket=self._name, Key=key, Body=body, ContentType=content_type)

    def start_multipart(self, key: str, content_type: str) -> str:
        """Begin a multipart upload; its upload id."""
        begun = self._s3.create_multipart_upload(Bucket=self._name, Key=key, ContentType=content_type)
        return begun["UploadId"]

    def ensure(self) -> None:
        """Create the bucket if it is missing."""
        try:
            self._s3.head_bucket(Bucket=self._name)
        except ClientError as error:
            if _code(error) not in GONE | {"NoSuchBucket"}:
                raise
            self._create_bucket()

    def _create_bucket(self) -> None:
        region: Any = self._region
        try:
            if region == "us-east-1":  # the one region that must not be named here
                self._s3.create_bucket(Bucket=self._name)
            else:
                self._s3.create_bucket(Bucket=self._name, CreateBucketConfiguration={"LocationConstraint": region})
        except ClientError as error:
            if _code(error) != "BucketAlreadyOwnedByYou":  # another process was faster
                raise

    def head(self, key: str) -> ObjectInfo | None:
        """What is known of the object; None when it is not there."""
        try:
            found = self._s3.head_object(Bucket=self._name, Key=key, ChecksumMode="ENABLED")
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

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Bytes of a small range, fewer at the end."""
        try:
            found = self._s3.get_object(Bucket=self._name, Key=key, Range=f"bytes={start}-{start + length - 1}")
        except ClientError as error:
            if _code(error) in {"InvalidRange", "416"}:
                return b""
            raise
        return found["Body"].read()

    def download(self, stop: threading.Event, key: str, path: Path) -> Digest:
        """Stream an object into a file and hash it on the way, until `stop` is set."""
        seen = _Hashing()
        body = self._s3.get_object(Bucket=self._name, Key=key)["Body"]
        with body, path.open("wb") as target:
            for chunk in body.iter_chunks(CHUNK_BYTES):
                _stop_if(stop)
                seen.update(chunk)
                target.write(chunk)
        return seen.digest()

    def upload(self, stop: threading.Event, path: Path, key: str, how: dict[str, Any]) -> Digest:
        """Stream a file into an object (in parts when it is larger than one) and hash it, until `stop` is set."""
        size_bytes = path.stat().st_size
        part_bytes = max(self._part_size_bytes, -(-size_bytes // MOST_PARTS))
        if size_bytes > part_bytes:
            return self._upload_parts(_chunks(path, part_bytes, stop), key, how)
        seen = _Hashing()
        body = seen.update(path.read_bytes())
        self._s3.put_object(Bucket=self._name, Key=key, Body=body, **how)
        return seen.digest()

    def _upload_parts(self, chunks: Iterator[bytes], key: str, how: dict[str, Any]) -> Digest:
        seen = _Hashing()
        with self._in_parts(key, how) as (upload, etags):
            for number, chunk in enumerate(chunks, start=1):
                sent = self._s3.upload_part(**upload, PartNumber=number, Body=seen.update(chunk))
                etags.append(sent["ETag"])
        return seen.digest()

    @contextlib.contextmanager
    def _in_parts(self, key: str, how: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Begin, and join the parts whose ETags were added, in order; what fails is aborted, so that nobody pays."""
        upload: dict[str, Any] = {"Bucket": self._name, "Key": key}
        upload["UploadId"] = self._s3.create_multipart_upload(**upload, **how)["UploadId"]
        etags: list[str] = []
        try:
            yield upload, etags
            parts = [UploadedPart(part_number=number, etag=etag) for number, etag in enumerate(etags, start=1)]
            self.complete_multipart(key, upload["UploadId"], parts)
        except BaseException:
            with contextlib.suppress(ClientError, BotoCoreError):  # the first error is the one to tell
                self._s3.abort_multipart_upload(**upload)
            raise

    def copy(self, stop: threading.Event, source: str, key: str, size_bytes: int, how: dict[str, Any]) -> None:
        """Copy an object of this size inside the bucket, until `stop` is set."""
        part_bytes = max(COPY_IN_UPLOAD_PARTS * self._part_size_bytes, -(-size_bytes // MOST_PARTS))
        if size_bytes <= part_bytes:
            place: Any = {"Bucket": self._name, "Key": source}
            self._s3.copy_object(Bucket=self._name, Key=key, CopySource=place, MetadataDirective="REPLACE", **how)
            return
        ranges = [(start, min(start + part_bytes, size_bytes)) for start in range(0, size_bytes, part_bytes)]
        try:
            self._copy_parts(stop, key, how, [partial(self._copy_part, source, *between) for between in ranges])
        except _CopiesNoParts:
            self._copy_parts(stop, key, how, [partial(self._carry_part, source, *between) for between in ranges])

    def _copy_parts(
        self, stop: threading.Event, key: str, how: dict[str, Any], parts: Sequence[Callable[[dict[str, Any]], str]]
    ) -> None:
        with self._in_parts(key, how) as (upload, etags):
            for number, part in enumerate(parts, start=1):
                _stop_if(stop)
                etags.append(part({**upload, "PartNumber": number}))

    def _copy_part(self, source: str, start: int, end: int, target: dict[str, Any]) -> str:
        place: Any = {"Bucket": self._name, "Key": source}
        copied = self._s3.upload_part_copy(**target, CopySource=place, CopySourceRange=f"bytes={start}-{end - 1}")
        if etag := copied.get("CopyPartResult", {}).get("ETag"):
            return etag
        raise _CopiesNoParts

    def _carry_part(self, source: str, start: int, end: int, target: dict[str, Any]) -> str:
        return self._s3.upload_part(**target, Body=self.read_range(source, start, end - start))["ETag"]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete at most 1,000 objects; those not there count as deleted."""
        wanted: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self._s3.delete_objects(Bucket=self._name, Delete=wanted)
        failed = [entry for entry in answer.get("Errors", []) if entry.get("Code") not in GONE]
        if failed:
            raise ObjectStoreUnavailable(detail=f"{len(failed)} objects could not be deleted: {failed[0]}")

    def list_keys(self, prefix: str) -> list[str]:
        """All keys below a prefix."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def list_page(self, prefix: str, after: str | None, limit: int) -> ObjectPage:
        """At most `limit` objects below a prefix, those after the key `after`."""
        start: dict[str, Any] = {} if after is None else {"StartAfter": after}
        page = self._s3.list_objects_v2(Bucket=self._name, Prefix=prefix, MaxKeys=limit, **start)
        found = [
            StoredObject(key=entry["Key"], size_bytes=entry["Size"], modified_at=_ms(entry["LastModified"]))
            for entry in page.get("Contents", [])
        ]
        return ObjectPage(objects=tuple(found), after=found[-1].key if found and page.get("IsTruncated") else None)

    def list_uploads(self, prefix: str, after: tuple[str, str] | None, limit: int) -> UploadPage | None:
        """At most `limit` unfinished multipart uploads; None when this store cannot list them."""
        start: dict[str, Any] = {} if after is None else {"KeyMarker": after[0], "UploadIdMarker": after[1]}
        try:
            page = self._s3.list_multipart_uploads(Bucket=self._name, Prefix=prefix, MaxUploads=limit, **start)
        except ClientError as error:
            if _code(error) in CANNOT_LIST:
                return None
            if _code(error) != "NoSuchUpload":
                raise
            return UploadPage(uploads=())  # what rclone says of a bucket that never had one
        found = [
            OpenUpload(key=entry["Key"], upload_id=entry["UploadId"], started_at=_ms(entry["Initiated"]))
            for entry in page.get("Uploads", [])
        ]
        last = (page.get("NextKeyMarker", ""), page.get("NextUploadIdMarker", ""))
        return UploadPage(uploads=tuple(found), after=last if page.get("IsTruncated") and last != after else None)

    def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """Parts that have arrived; empty when the upload is unknown."""
        pages = self._s3.get_paginator("list_parts").paginate(Bucket=self._name, Key=key, UploadId=upload_id)
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

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Join the parts; fine when that has happened already."""
        ordered = sorted(parts, key=lambda part: part.part_number)
        wanted: Any = {"Parts": [{"PartNumber": part.part_number, "ETag": part.etag} for part in ordered]}
        try:
            self._s3.complete_multipart_upload(Bucket=self._name, Key=key, UploadId=upload_id, MultipartUpload=wanted)
        except ClientError as error:
            # The answer to an earlier, successful try may have been lost on the way.
            if _code(error) != "NoSuchUpload" or self.head(key) is None:
                raise

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Drop an unfinished upload; unknown ones are fine."""
        try:
            self._s3.abort_multipart_upload(Bucket=self._name, Key=key, UploadId=upload_id)
        except ClientError as error:
            if _code(error) not in GONE | {"NoSuchUpload"}:
                raise


class _CopiesNoParts(Exception):
    """The server took a copied part for an empty one (as rclone does): there the bytes have to pass through us."""


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
            max_pool_connections=CONNECTIONS,
        ),
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours."""
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


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


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
