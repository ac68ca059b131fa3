"""Blocking calls on one S3 bucket, for threads of a pool."""

import base64
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

from converto_core.errors import ObjectStoreUnavailable, UploadLost
from converto_core.ports.objects import ObjectInfo, ObjectPage, OpenUpload, StoredObject, UploadedPart, UploadPage
from converto_infra.s3.client import GONE, NO_UPLOAD, code_of, make_client
from converto_infra.s3.transfers import Transfers
from converto_infra.settings import Settings

CANNOT_LIST = {"NotImplemented", "MethodNotAllowed", "501", "405"}


class Bucket:
    """One bucket. Its methods block and raise botocore's errors or those of the port.

    A second client presigns URLs when users reach the object store by another host name.
    """

    def __init__(self, settings: Settings) -> None:
        self._name, self._region = settings.s3_bucket, settings.s3_region
        session = boto3.session.Session()
        public = settings.s3_public_endpoint_url or settings.s3_endpoint_url
        self._s3 = self._public = make_client(session, settings, settings.s3_endpoint_url)
        if public != settings.s3_endpoint_url:
            self._public = make_client(session, settings, public)
        self.transfers = Transfers(self._s3, self._name, part_size_bytes=settings.part_size_bytes)

    def sign(self, operation: str, params: dict[str, Any], ttl_s: int) -> str:
        """A presigned URL; takes about 1 ms of CPU and no request."""
        wanted = {"Bucket": self._name, **params}
        return self._public.generate_presigned_url(operation, Params=wanted, ExpiresIn=ttl_s)

    def ping(self) -> None:
        """Raise unless the bucket exists."""
        self._s3.head_bucket(Bucket=self._name)

    def now_ms(self) -> int:
        """The object store's wall clock, from the Date header of a response."""
        answer = self._s3.head_bucket(Bucket=self._name)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if date is None:
            raise ObjectStoreUnavailable(detail="the object store sends no Date header")
        return _ms(parsedate_to_datetime(date))

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Store a small object whole."""
        self._s3.put_object(Bucket=self._name, Key=key, Body=body, ContentType=content_type)

    def start_multipart(self, key: str, content_type: str) -> str:
        """Begin a multipart upload and return its upload id."""
        begun = self._s3.create_multipart_upload(Bucket=self._name, Key=key, ContentType=content_type)
        return begun["UploadId"]

    def ensure(self) -> None:
        """Create the bucket if it is missing."""
        try:
            self._s3.head_bucket(Bucket=self._name)
        except ClientError as error:
            if code_of(error) not in GONE | {"NoSuchBucket"}:
                raise
            self._create_bucket()

    def _create_bucket(self) -> None:
        region: Any = self._region
        try:
            if region == "us-east-1":  # S3 rejects a LocationConstraint that names this region
                self._s3.create_bucket(Bucket=self._name)
            else:
                self._s3.create_bucket(Bucket=self._name, CreateBucketConfiguration={"LocationConstraint": region})
        except ClientError as error:
            if code_of(error) != "BucketAlreadyOwnedByYou":  # another process created it first
                raise

    def head(self, key: str) -> ObjectInfo | None:
        """Size, type and checksum of an object; None when it does not exist."""
        try:
            found = self._s3.head_object(Bucket=self._name, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if code_of(error) in GONE:
                return None
            raise
        return ObjectInfo(
            size_bytes=found["ContentLength"],
            etag=found["ETag"],
            content_type=found.get("ContentType"),
            sha256=_verified_sha256(found.get("ChecksumSHA256"), found.get("ChecksumType")),
        )

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Bytes of a small range, fewer at the end of the object."""
        try:
            found = self._s3.get_object(Bucket=self._name, Key=key, Range=f"bytes={start}-{start + length - 1}")
        except ClientError as error:
            if code_of(error) in {"InvalidRange", "416"}:
                return b""
            raise
        return found["Body"].read()

    def delete(self, keys: Sequence[str]) -> None:
        """Delete at most 1,000 objects; missing ones count as deleted."""
        wanted: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self._s3.delete_objects(Bucket=self._name, Delete=wanted)
        failed = [entry for entry in answer.get("Errors", []) if entry.get("Code") not in GONE]
        if failed:
            raise ObjectStoreUnavailable(detail=f"{len(failed)} objects could not be deleted: {failed[0]}")

    def list_keys(self, prefix: str) -> list[str]:
        """All keys with a prefix."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def list_page(self, prefix: str, after: str | None, limit: int) -> ObjectPage:
        """At most `limit` objects with a prefix whose keys sort after `after`."""
        start: dict[str, Any] = {} if after is None else {"StartAfter": after}
        page = self._s3.list_objects_v2(Bucket=self._name, Prefix=prefix, MaxKeys=limit, **start)
        found = [
            StoredObject(
                key=entry["Key"],
                size_bytes=entry["Size"],
                modified_at=_ms(entry["LastModified"]),
                etag=entry.get("ETag", ""),
            )
            for entry in page.get("Contents", [])
        ]
        return ObjectPage(objects=tuple(found), after=found[-1].key if found and page.get("IsTruncated") else None)

    def list_uploads(self, prefix: str, after: tuple[str, str] | None, limit: int) -> UploadPage | None:
        """At most `limit` unfinished multipart uploads; None when the server cannot list them."""
        start: dict[str, Any] = {} if after is None else {"KeyMarker": after[0], "UploadIdMarker": after[1]}
        try:
            page = self._s3.list_multipart_uploads(Bucket=self._name, Prefix=prefix, MaxUploads=limit, **start)
        except ClientError as error:
            if code_of(error) in CANNOT_LIST:
                return None
            if code_of(error) not in NO_UPLOAD:
                raise
            return UploadPage(uploads=())  # rclone's answer for a bucket that never had a multipart upload
        found = [
            OpenUpload(key=entry["Key"], upload_id=entry["UploadId"], started_at=_ms(entry["Initiated"]))
            for entry in page.get("Uploads", [])
        ]
        last = (page.get("NextKeyMarker", ""), page.get("NextUploadIdMarker", ""))
        return UploadPage(uploads=tuple(found), after=last if page.get("IsTruncated") and last != after else None)

    def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """Uploaded parts; raises `UploadLost` when the upload is unknown."""
        pages = self._s3.get_paginator("list_parts").paginate(Bucket=self._name, Key=key, UploadId=upload_id)
        try:
            return [
                UploadedPart(part_number=part["PartNumber"], etag=part["ETag"], size_bytes=part["Size"])
                for page in pages
                for part in page.get("Parts", [])
            ]
        except ClientError as error:
            if code_of(error) in NO_UPLOAD:
                raise UploadLost(detail=f"ListParts of {key}: {code_of(error)}") from error
            raise

    def knows_upload(self, key: str, upload_id: str) -> bool:
        """Whether the upload is known."""
        try:
            self._s3.list_parts(Bucket=self._name, Key=key, UploadId=upload_id, MaxParts=1)
        except ClientError as error:
            if code_of(error) in NO_UPLOAD:
                return False
            raise
        return True

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Complete the upload; does nothing when an earlier call has completed it."""
        ordered = sorted(parts, key=lambda part: part.part_number)
        wanted: Any = {"Parts": [{"PartNumber": part.part_number, "ETag": part.etag} for part in ordered]}
        try:
            self._s3.complete_multipart_upload(Bucket=self._name, Key=key, UploadId=upload_id, MultipartUpload=wanted)
        except ClientError as error:
            if code_of(error) not in NO_UPLOAD:
                raise
            # The response to an earlier, successful call may have been lost.
            if self.head(key) is None:
                raise UploadLost(detail=f"CompleteMultipartUpload of {key}: {code_of(error)}") from error

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Abort an upload; does nothing when it is unknown."""
        try:
            self._s3.abort_multipart_upload(Bucket=self._name, Key=key, UploadId=upload_id)
        except ClientError as error:
            if code_of(error) not in GONE | NO_UPLOAD:
                raise


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _verified_sha256(checksum: str | None, checksum_type: str | None) -> str | None:
    """The checksum in hex if the server computed it over the whole object.

    Only S3 itself states the type. Other servers return the uploader's header unverified, which proves nothing.
    """
    return base64.b64decode(checksum).hex() if checksum and checksum_type == "FULL_OBJECT" else None
