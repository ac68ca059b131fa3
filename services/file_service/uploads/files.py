"""Use cases of files: create, upload in one or many parts, confirm, list, fetch, delete. It knows no HTTP.

No byte of a presigned upload passes through here: of a confirmed file only both ends (64 KiB each) are looked at.
"""

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from converto_core.errors import (
    BadSource,
    Conflict,
    DuplicateKey,
    NotFound,
    TooLarge,
    UploadIncomplete,
    UploadRefused,
)
from converto_core.files.record import File, FileStatus
from converto_core.formats import BY_NAME, Format, extension_of
from converto_core.ids import now_ms
from converto_core.object_keys import source_key
from converto_core.ports.objects import ObjectInfo, ObjectStore, PresignedRequest, UploadedPart
from converto_core.ports.stores import FileStore
from converto_engines.sniffing import containers, sniff
from file_service.http.schemas import (
    ArrivedPart,
    ArrivedParts,
    MultipartUpload,
    NewFile,
    PartEtag,
    SingleUpload,
    UploadBody,
)
from file_service.uploads.naming import clean_filename

ANY_TYPE = "application/octet-stream"
MOST_PARTS = 10_000
"""S3's limit of parts in one upload."""
MIB = 1024**2

log = structlog.get_logger()


class UploadLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How large a file may be, and from which size on it is uploaded in parts of which size. All in bytes."""

    max_file_bytes: int
    multipart_threshold_bytes: int
    part_size_bytes: int


class Files:
    """What can be done with files. Every call is made for one owner; another owner's file does not exist."""

    def __init__(self, files: FileStore, objects: ObjectStore, limits: UploadLimits) -> None:
        self._files = files
        self._objects = objects
        self._limits = limits

    async def create(self, owner: str, new: NewFile, file_id: str) -> tuple[File, UploadBody | None]:
        """A record that waits for its bytes, and how to send them. Raises `UploadRefused`, `TooLarge`.

        A file that an earlier try of the same request has stored is found again; without upload once it has arrived.
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
        """Raises what `create` would raise for this declaration."""
        if new.size_bytes == 0:
            raise UploadRefused("The file is empty (0 bytes)", code="empty_file")
        if new.size_bytes > self._limits.max_file_bytes:
            raise TooLarge(
                f"The file has {new.size_bytes} bytes; this server takes up to {self._limits.max_file_bytes}"
            )

    async def get(self, owner: str, file_id: str) -> File:
        """The file; raises `NotFound`, also for a deleted one."""
        file = await self._files.get(file_id, owner=owner)
        if file is None or file.status is FileStatus.DELETED:
            raise NotFound("No file of yours has this id")
        return file

    async def find(self, owner: str, *, after: str | None, limit: int) -> list[File]:
        """Newest first."""
        return await self._files.find(owner=owner, after=after, limit=limit)

    async def fresh_upload(self, owner: str, file_id: str) -> tuple[File, UploadBody]:
        """The same upload with new expiry times; raises `Conflict` when the file is there already."""
        file = await self._awaiting(owner, file_id)
        if file.part_size_bytes is not None and file.upload_id is None:
            file = await self._restart_multipart(file)
        return file, await self._upload_request(file)

    async def presign_parts(self, owner: str, file_id: str, part_numbers: Sequence[int]) -> list[PresignedRequest]:
        """One request per part number; raises `Conflict` when this upload is not one in parts."""
        file = await self._awaiting(owner, file_id)
        upload_id, _, part_count = _multipart(file)
        beyond = [number for number in part_numbers if number > part_count]
        if beyond:
            raise Conflict(f"The upload has {part_count} parts; there is no part {beyond[0]}")
        return await self._objects.presign_parts(file.key, upload_id, part_numbers)

    async def arrived_parts(self, owner: str, file_id: str) -> ArrivedParts:
        """What the object store has of an upload in parts, so that it can go on."""
        file = await self._awaiting(owner, file_id)
        upload_id, part_size_bytes, part_count = _multipart(file)
        arrived = await self._objects.list_parts(file.key, upload_id)
        parts = [msgspec.convert(part, ArrivedPart, from_attributes=True) for part in arrived]
        return ArrivedParts(parts=parts, part_size_bytes=part_size_bytes, part_count=part_count)

    async def download(self, owner: str, file_id: str) -> PresignedRequest:
        """A request that fetches the original, always as an attachment; raises `UploadIncomplete`."""
        file = await self.get(owner, file_id)
        if file.status is not FileStatus.UPLOADED:
            raise UploadIncomplete("The file has not been uploaded yet")
        return await self._objects.presign_get(
            file.key, filename=file.filename, content_type=file.detected_type or ANY_TYPE
        )

    async def confirm(self, owner: str | None, file_id: str, parts: Sequence[PartEtag] | None = None) -> File:
        """The file, once its bytes are seen to be there and as declared. Safe to repeat.

        Raises `UploadIncomplete` while bytes are missing, `UploadRefused` (`size_mismatch`, `checksum_mismatch`) when
        they are other ones: these are removed, and the client may upload again.
        """
        file = await self._any_owner(file_id) if owner is None else await self.get(owner, file_id)
        if file.status is FileStatus.UPLOADED:
            return file
        if file.upload_id is not None:
            await self._join_parts(file, parts)
        found = await self._objects.head(file.key)
        if found is None:
            raise UploadIncomplete("The file has not arrived in the object store yet; upload it, then confirm again")
        await self._check_bytes(file, found)
        return await self._mark_uploaded(file, found)

    async def store_form_upload(
        self, owner: str, new: NewFile, path: Path, sniffed: sniff.Sniffed, file_id: str
    ) -> File:
        """A file whose bytes came with the request: stored, hashed in the same pass, confirmed. The record is first."""
        file = await self._insert(self._new(owner, new, file_id))
        digest = await self._objects.upload(
            path, file.key, content_type=file.declared_type or ANY_TYPE, filename=file.filename
        )
        assign = {**_seen(sniffed, file.filename), "sha256": digest.sha256, "sha512": digest.sha512}
        return await self._settle(file, assign)

    async def identify(self, file: File) -> Format:
        """What an uploaded file is; raises `BadSource` when it cannot be converted, whatever the target."""
        if file.detected_format is not None:
            return BY_NAME[file.detected_format]
        return sniff.decide(file.filename, await self._sniff(file))

    async def delete(self, owner: str, file_id: str) -> File:
        """Mark it deleted, then remove its objects; repeating removes what a first try left. Raises `NotFound`."""
        file = await self._files.get(file_id, owner=owner)
        if file is None:
            raise NotFound("No file of yours has this id")
        assign = {"status": FileStatus.DELETED, "updated_at": now_ms()}
        alive = {FileStatus.AWAITING_UPLOAD, FileStatus.UPLOADED}
        await self._files.update(file.id, version=file.version, expected=alive, assign=assign)
        if file.upload_id is not None:
            await self._objects.abort_multipart(file.key, file.upload_id)
        await self._objects.delete([source_key(owner, file.id, version) for version in range(1, file.version + 1)])
        log.info("file.deleted", file_id=file.id)
        return file

    async def _insert(self, file: File) -> File:
        """Store it, or find the one that an earlier try of the same request has stored."""
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
        )

    def _is_multipart(self, new: NewFile) -> bool:
        if new.multipart is not None and new.size_bytes <= self._limits.multipart_threshold_bytes:
            return new.multipart
        return new.size_bytes > self._limits.multipart_threshold_bytes

    def _part_size_bytes(self, size_bytes: int) -> int:
        needed = math.ceil(size_bytes / MOST_PARTS)
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
            raise Conflict("The file is uploaded already; create a new file to upload another one")
        return file

    async def _any_owner(self, file_id: str) -> File:
        file = await self._files.get(file_id)
        if file is None or file.status is FileStatus.DELETED:
            raise NotFound("There is no such file")
        return file

    async def _restart_multipart(self, file: File) -> File:
        upload_id = await self._objects.start_multipart(file.key, content_type=file.declared_type or ANY_TYPE)
        return await self._assign(file, {"upload_id": upload_id, "updated_at": now_ms()})

    async def _assign(self, file: File, assign: dict[str, object]) -> File:
        waiting = {FileStatus.AWAITING_UPLOAD}
        after = await self._files.update(file.id, version=file.version, expected=waiting, assign=assign)
        return after or await self._any_owner(file.id)

    async def _join_parts(self, file: File, untrusted_parts: Sequence[PartEtag] | None) -> None:
        upload_id, _, part_count = _multipart(file)
        arrived = await self._objects.list_parts(file.key, upload_id)
        if not arrived and await self._objects.head(file.key) is not None:
            return  # joined by an earlier confirmation that did not come to its end
        missing = sorted(set(range(1, part_count + 1)) - {part.part_number for part in arrived})
        if missing:
            raise UploadIncomplete(f"{len(missing)} of {part_count} parts have not arrived, the first is {missing[0]}")
        named = [UploadedPart(part_number=part.part_number, etag=part.etag) for part in untrusted_parts or ()]
        await self._objects.complete_multipart(file.key, upload_id, named or arrived)

    async def _check_bytes(self, file: File, found: ObjectInfo) -> None:
        refusal = _refusal(file, found)
        if refusal is None:
            return
        # Other bytes than declared must not stay where a later confirmation or a worker would find them.
        await self._objects.delete([file.key])
        if file.upload_id is not None:
            await self._assign(file, {"upload_id": None, "updated_at": now_ms()})
        raise refusal

    async def _mark_uploaded(self, file: File, found: ObjectInfo) -> File:
        assign = {**_seen(await self._sniff(file), file.filename), "upload_id": None}
        if found.sha256 is not None:
            assign["sha256"] = found.sha256
        return await self._settle(file, assign)

    async def _settle(self, file: File, assign: dict[str, object]) -> File:
        settled = await self._assign(file, {**assign, "status": FileStatus.UPLOADED, "updated_at": now_ms()})
        log.info("file.uploaded", file_id=file.id, size_bytes=file.size_bytes, detected_format=settled.detected_format)
        return settled

    async def _sniff(self, file: File) -> sniff.Sniffed:
        window = sniff.WINDOW_BYTES
        starts = (0,) if file.size_bytes <= window else (0, file.size_bytes - window)
        ends = await asyncio.gather(
            *(self._objects.read_range(file.key, start=start, length=window) for start in starts)
        )
        head, tail = ends[0], ends[-1]
        names: tuple[str, ...] = ()
        offset = containers.ole2_directory_offset(head)
        if offset is not None and window <= offset < file.size_bytes:
            names = containers.stream_names(await self._objects.read_range(file.key, start=offset, length=window))
        return sniff.sniff(head, tail=tail, filename=file.filename, names=names, size_bytes=file.size_bytes)


def _multipart(file: File) -> tuple[str, int, int]:
    if file.upload_id is None or file.part_size_bytes is None:
        raise Conflict("This file is not uploaded in parts; POST /api/v1/files/{id}/upload tells how to send it")
    return file.upload_id, file.part_size_bytes, math.ceil(file.size_bytes / file.part_size_bytes)


def _refusal(file: File, found: ObjectInfo) -> UploadRefused | None:
    if found.size_bytes != file.size_bytes:
        message = f"The upload has {found.size_bytes} bytes but {file.size_bytes} were declared; please upload it again"
        return UploadRefused(message, code="size_mismatch")
    if found.sha256 and file.declared_sha256 and found.sha256.lower() != file.declared_sha256:
        message = "The upload's SHA-256 is not the declared one: it was damaged on the way; please upload it again"
        return UploadRefused(message, code="checksum_mismatch")
    return None


def _seen(sniffed: sniff.Sniffed, filename: str) -> dict[str, object]:
    """`detected_format` stays empty for what cannot be converted, so that each request is told the reason."""
    try:
        detected = sniff.decide(filename, sniffed).name
    except BadSource:
        detected = None
    return {"detected_type": sniffed.mime_type, "detected_format": detected}
