"""Use cases of files: create, upload in one or many parts, confirm, list, download, delete.

The bytes of a presigned upload go from the client to the object store; confirmation reads only both ends of the file.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import structlog

from converto_core.errors import Conflict, DuplicateKey, Gone, NotFound, TooLarge, UploadIncomplete, UploadRefused
from converto_core.files.look_schedule import LookSchedule
from converto_core.files.record import File, FileStatus
from converto_core.formats import Format, extension_of
from converto_core.ids import now_ms
from converto_core.object_keys import source_key
from converto_core.ports.objects import ObjectStore, PresignedRequest
from converto_core.ports.stores import FileStore
from converto_engines.sniffing import sniff
from file_service.http.schemas.files import (
    ArrivedPart,
    ArrivedParts,
    MultipartUpload,
    NewFile,
    PartEtag,
    SingleUpload,
    UploadBody,
)
from file_service.uploads.naming import clean_filename
from file_service.uploads.verification import Verification, detected_fields, mismatch, multipart_of, not_in_parts

ANY_TYPE = "application/octet-stream"
MAX_PARTS = 10_000
"""S3's limit for one multipart upload."""
MIB = 1024**2

log = structlog.get_logger()


class UploadLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The largest file, the size above which a file is uploaded in parts, and the part size; all in bytes."""

    max_file_bytes: int
    multipart_threshold_bytes: int
    part_size_bytes: int


class Files:
    """Creates, confirms, reads and deletes files, each for one owner; files of other owners raise `NotFound`."""

    def __init__(self, files: FileStore, objects: ObjectStore, limits: UploadLimits, looks: LookSchedule) -> None:
        self._files = files
        self._objects = objects
        self._limits = limits
        self._looks = looks
        self._verification = Verification(objects)

    async def create(self, owner: str, new: NewFile, file_id: str) -> tuple[File, UploadBody | None]:
        """Create a record and return it with how to upload its bytes; raises `UploadRefused`, `TooLarge`.

        A repeated request gets the record of the first one, without an upload if the bytes have arrived since.
        """
        file = self._new(owner, new, file_id)
        if self._is_multipart(new):
            upload_id = await self._objects.start_multipart(file.key, content_type=file.declared_type or ANY_TYPE)
            file = msgspec.structs.replace(
                file, upload_id=upload_id, part_size_bytes=self._part_size_bytes(file.size_bytes)
            )
        file = await self._insert(file)
        is_awaited = file.status is FileStatus.AWAITING_UPLOAD
        return file, await self._upload_request(file) if is_awaited else None

    def check(self, new: NewFile) -> None:
        """Raise the error that `create` would raise for this file."""
        if new.size_bytes == 0:
            raise UploadRefused("The file is empty (0 bytes); choose a file with content", code="empty_file")
        if new.size_bytes > self._limits.max_file_bytes:
            raise TooLarge(
                f"The file is {new.size_bytes} bytes; this server accepts at most {self._limits.max_file_bytes} bytes"
            )

    async def get(self, owner: str, file_id: str) -> File:
        """Return the file; raises `NotFound`, also if it was deleted."""
        file = await self._files.get(file_id, owner=owner)
        if file is None or file.status is FileStatus.DELETED:
            raise NotFound("You have no file with this id")
        return file

    async def find(self, owner: str, *, after: str | None, limit: int) -> list[File]:
        """Return one page of files, newest first."""
        return await self._files.find(owner=owner, after=after, limit=limit)

    async def fresh_upload(self, owner: str, file_id: str) -> tuple[File, UploadBody]:
        """Return the upload with new expiry times; raises `Conflict` if the file has been uploaded."""
        file = await self._look_when_urls_expire(await self._awaiting(owner, file_id))
        if file.part_size_bytes is not None:
            file = await self._with_known_upload(file)
        return file, await self._upload_request(file)

    async def presign_parts(self, owner: str, file_id: str, part_numbers: Sequence[int]) -> list[PresignedRequest]:
        """Return one presigned request per part number; raises `Conflict` unless this is a multipart upload."""
        file = await self._with_known_upload(await self._awaiting(owner, file_id))
        upload_id, _, part_count = multipart_of(file)
        beyond = [number for number in part_numbers if number > part_count]
        if beyond:
            raise Conflict(f"There is no part {beyond[0]}; this upload has {part_count} parts, counted from 1")
        await self._look_when_urls_expire(file)
        return await self._objects.presign_parts(file.key, upload_id, part_numbers)

    async def arrived_parts(self, owner: str, file_id: str) -> ArrivedParts:
        """Return the parts that the object store has, so that the upload can resume; none if it had lost the upload."""
        file = await self._with_known_upload(await self._awaiting(owner, file_id))
        upload_id, part_size_bytes, part_count = multipart_of(file)
        arrived = await self._objects.list_parts(file.key, upload_id)
        parts = [msgspec.convert(part, ArrivedPart, from_attributes=True) for part in arrived]
        return ArrivedParts(parts=parts, part_size_bytes=part_size_bytes, part_count=part_count)

    async def download(self, owner: str, file_id: str) -> PresignedRequest:
        """Return the presigned download of the original, as an attachment; raises `UploadIncomplete`, `Gone`."""
        file = await self.get(owner, file_id)
        if file.status is not FileStatus.UPLOADED:
            raise UploadIncomplete("The file has not been uploaded yet, so it cannot be downloaded")
        await self.check_stored(file)
        return await self._objects.presign_get(
            file.key, filename=file.filename, content_type=file.detected_type or ANY_TYPE
        )

    async def check_stored(self, file: File) -> None:
        """Raise `Gone` (`source_gone`) unless the object store still has an uploaded file in its size."""
        found = await self._objects.head(file.key)
        if found is None or found.size_bytes != file.size_bytes:
            raise Gone(
                f"The object store has lost {file.filename}; upload the file again with a new conversion",
                code="source_gone",
            )

    async def confirm(self, owner: str | None, file_id: str, parts: Sequence[PartEtag] | None = None) -> File:
        """Verify the uploaded bytes and return the file; safe to repeat.

        Raises `UploadIncomplete` while bytes are missing, and `UploadRefused` (`size_mismatch`, `checksum_mismatch`) if
        they are not the declared ones. Wrong bytes stay, because right ones may have replaced them since they were
        looked at. The client uploads again over them, or the deadline removes them with their file.
        """
        file = await self._any_owner(file_id) if owner is None else await self.get(owner, file_id)
        if file.status is FileStatus.UPLOADED:
            return file
        if file.upload_id is not None:
            await self._verification.join_parts(file, parts, only_if_whole=owner is None)
        found = await self._objects.head(file.key)
        if found is None:
            raise UploadIncomplete("The object store does not have the file yet; upload it, then confirm again")
        if (refusal := mismatch(file, found)) is not None:
            if owner is not None and file.upload_id is not None:
                await self._files.replace_upload(file, upload_id=None)  # joined: its parts cannot be sent again
            raise refusal
        assign = {**await self._verification.detect(file), "upload_id": None}
        if found.sha256 is not None:
            assign["sha256"] = found.sha256
        return await self._mark_uploaded(file, assign)

    async def store_form_upload(
        self, owner: str, new: NewFile, path: Path, sniffed: sniff.Sniffed, *, file_id: str
    ) -> File:
        """Store the bytes sent with a form, hashed in the same pass; the record is created first."""
        file = await self._insert(self._new(owner, new, file_id))
        digest = await self._objects.upload(
            path, file.key, content_type=file.declared_type or ANY_TYPE, filename=file.filename
        )
        assign = {**detected_fields(sniffed, file.filename), "sha256": digest.sha256, "sha512": digest.sha512}
        # An upload event may have confirmed the file already, but without the hashes.
        return await self._mark_uploaded(file, assign, expected={FileStatus.AWAITING_UPLOAD, FileStatus.UPLOADED})

    async def identify(self, file: File, *, has_password: bool = False) -> Format:
        """Return the format of an uploaded file; raises `BadSource` if no conversion accepts it.

        An encrypted file is accepted if there is a password to open it.
        """
        return await self._verification.identify(file, has_password=has_password)

    async def delete(self, owner: str, file_id: str) -> File:
        """Mark the file deleted, then delete its objects; safe to repeat after a failure. Raises `NotFound`."""
        file = await self._files.get(file_id, owner=owner)
        if file is None:
            raise NotFound("You have no file with this id")
        assign = {"status": FileStatus.DELETED, "updated_at": now_ms()}
        alive = {FileStatus.AWAITING_UPLOAD, FileStatus.UPLOADED}
        await self._files.update(file.id, version=file.version, expected=alive, assign=assign)
        if file.upload_id is not None:
            await self._objects.abort_multipart(file.key, file.upload_id)
        await self._objects.delete([source_key(owner, file.id, version) for version in range(1, file.version + 1)])
        log.info("file.deleted", file_id=file.id)
        return file

    async def _insert(self, file: File) -> File:
        """Insert the record, or return the one that an earlier attempt of the same request has stored."""
        try:
            await self._files.insert(file)
        except DuplicateKey:
            if file.upload_id is not None:
                await self._objects.abort_multipart(file.key, file.upload_id)
            return await self.get(file.owner, file.id)
        return file

    def _new(self, owner: str, new: NewFile, file_id: str) -> File:
        self.check(new)
        now, filename = now_ms(), clean_filename(new.filename)
        return File(
            id=file_id,
            owner=owner,
            filename=filename,
            extension=extension_of(filename),
            size_bytes=new.size_bytes,
            key=source_key(owner, file_id, 1),
            created_at=now,
            updated_at=now,
            declared_type=new.content_type,
            declared_sha256=new.sha256.lower() if new.sha256 else None,
            client_id=new.client_id,
            look_due=self._looks.first(now),
        )

    def _is_multipart(self, new: NewFile) -> bool:
        if new.multipart is not None and new.size_bytes <= self._limits.multipart_threshold_bytes:
            return new.multipart
        return new.size_bytes > self._limits.multipart_threshold_bytes

    def _part_size_bytes(self, size_bytes: int) -> int:
        needed = math.ceil(size_bytes / MAX_PARTS)
        return max(self._limits.part_size_bytes, math.ceil(needed / MIB) * MIB)

    async def _upload_request(self, file: File) -> UploadBody:
        if file.part_size_bytes is not None:
            part_count = math.ceil(file.size_bytes / file.part_size_bytes)
            return MultipartUpload(part_size_bytes=file.part_size_bytes, part_count=part_count)
        request = await self._objects.presign_put(
            file.key,
            size_bytes=file.size_bytes,
            content_type=file.declared_type or ANY_TYPE,
            sha256=file.declared_sha256,
        )
        return msgspec.convert(request, SingleUpload, from_attributes=True)

    async def _awaiting(self, owner: str, file_id: str) -> File:
        file = await self.get(owner, file_id)
        if file.status is not FileStatus.AWAITING_UPLOAD:
            raise Conflict("The file has already been uploaded; create a new file to upload other bytes")
        return file

    async def _any_owner(self, file_id: str) -> File:
        file = await self._files.get(file_id)
        if file is None or file.status is FileStatus.DELETED:
            raise NotFound("There is no file with this id")
        return file

    async def _with_known_upload(self, file: File) -> File:
        """Return the file with a multipart upload that the object store knows.

        It is a new one if the store has lost the old one, or joined it to something else than the declared file.
        """
        if file.part_size_bytes is None:
            raise not_in_parts()
        if file.upload_id is not None and await self._objects.knows_upload(file.key, file.upload_id):
            return file
        joined = await self._objects.head(file.key)
        if joined is not None and mismatch(file, joined) is None:
            raise Conflict(
                "All parts have arrived and are joined; POST /api/v1/files/{id}/uploaded to confirm the upload"
            )
        return await self._begin_again(file)

    async def _begin_again(self, file: File) -> File:
        """Begin a new multipart upload; of many clients that ask at once, all get the upload of the first."""
        upload_id = await self._objects.start_multipart(file.key, content_type=file.declared_type or ANY_TYPE)
        begun = await self._files.replace_upload(file, upload_id=upload_id)
        if begun is None:
            await self._objects.abort_multipart(file.key, upload_id)
            return await self._awaiting(file.owner, file.id)
        if file.upload_id is not None:
            log.warning("upload.begun_again", file_id=file.id)
        return begun

    async def _look_when_urls_expire(self, file: File) -> File:
        due_ms = self._looks.with_new_urls(file, now_ms=now_ms())
        return file if due_ms == file.look_due else await self._assign(file, {"look_due": due_ms})

    async def _assign(
        self, file: File, assign: dict[str, object], *, expected: Iterable[FileStatus] = (FileStatus.AWAITING_UPLOAD,)
    ) -> File:
        after = await self._files.update(file.id, version=file.version, expected=expected, assign=assign)
        return after or await self._any_owner(file.id)

    async def _mark_uploaded(
        self, file: File, assign: dict[str, object], *, expected: Iterable[FileStatus] = (FileStatus.AWAITING_UPLOAD,)
    ) -> File:
        marks = {"status": FileStatus.UPLOADED, "look_due": None, "updated_at": now_ms()}
        uploaded = await self._assign(file, {**assign, **marks}, expected=expected)
        log.info("file.uploaded", file_id=file.id, size_bytes=file.size_bytes, detected_format=uploaded.detected_format)
        return uploaded
