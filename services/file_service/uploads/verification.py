"""Verifies uploaded bytes: joins the parts, compares size and checksum, and detects the format."""

import asyncio
import math
from collections.abc import Sequence

from converto_core.errors import BadSource, Conflict, UploadIncomplete, UploadLost, UploadRefused
from converto_core.files.record import File
from converto_core.formats import BY_NAME, Format
from converto_core.ports.objects import ObjectInfo, ObjectStore, UploadedPart
from converto_engines.sniffing import containers, sniff
from file_service.http.schemas.files import PartEtag


class Verification:
    """Reads at most two windows of 64 KiB of an upload (and one more of an OLE2 file), however large it is."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def join_parts(
        self, file: File, untrusted_parts: Sequence[PartEtag] | None, *, only_if_whole: bool = False
    ) -> None:
        """Complete a multipart upload; raises `UploadIncomplete` while parts are missing, `UploadLost` if all are.

        `only_if_whole` also leaves parts alone that do not add up to the declared size: joining cannot be undone, and
        the client may still replace a part.
        """
        upload_id, _, part_count = multipart_of(file)
        try:
            arrived = await self._objects.list_parts(file.key, upload_id)
        except UploadLost:
            if await self._objects.head(file.key) is None:
                raise
            return  # joined by an earlier confirmation that did not finish
        missing = sorted(set(range(1, part_count + 1)) - {part.part_number for part in arrived})
        if missing:
            raise UploadIncomplete(
                f"{len(missing)} of {part_count} parts have not arrived, starting with part {missing[0]}; upload them, "
                "then confirm again"
            )
        if only_if_whole and not is_whole(file, arrived):
            raise UploadIncomplete(
                f"All {part_count} parts have arrived, but they do not add up to {file.size_bytes} bytes; upload them "
                "again, then confirm again"
            )
        named = [UploadedPart(part_number=part.part_number, etag=part.etag) for part in untrusted_parts or ()]
        if named and sorted(part.part_number for part in named) != list(range(1, part_count + 1)):
            raise UploadRefused(  # joining only some of them costs all of them
                f"The confirmation does not name all {part_count} parts, each once; name them all, or none, and "
                "confirm again. The parts that have arrived are kept"
            )
        await self._objects.complete_multipart(file.key, upload_id, named or arrived)

    async def detect(self, file: File) -> dict[str, object]:
        """Return the fields `detected_type` and `detected_format` of an uploaded file."""
        return detected_fields(await self._sniff(file), file.filename)

    async def identify(self, file: File, *, has_password: bool) -> Format:
        """Return the format of an uploaded file; raises `BadSource` if no conversion accepts it."""
        if file.detected_format is not None:
            return BY_NAME[file.detected_format]
        return sniff.decide(file.filename, await self._sniff(file), has_password=has_password)

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


def multipart_of(file: File) -> tuple[str, int, int]:
    """Return upload id, part size in bytes and part count; raises `Conflict` unless this is a multipart upload."""
    if file.upload_id is None or file.part_size_bytes is None:
        raise not_in_parts()
    return file.upload_id, file.part_size_bytes, math.ceil(file.size_bytes / file.part_size_bytes)


def not_in_parts() -> Conflict:
    """Return the error for questions about parts of a file that is sent whole."""
    return Conflict("This file is not uploaded in parts; POST /api/v1/files/{id}/upload returns how to upload it")


async def parts_of(objects: ObjectStore, key: str, upload_id: str | None) -> list[UploadedPart]:
    """Return the parts that the object store has, for callers to whom an unknown upload has none."""
    if upload_id is None:
        return []
    try:
        return await objects.list_parts(key, upload_id)
    except UploadLost:
        return []


def is_whole(file: File, parts: Sequence[UploadedPart]) -> bool:
    """Return whether these are all parts of a multipart upload, and of the declared size together."""
    if file.part_size_bytes is None:
        return False
    part_count = math.ceil(file.size_bytes / file.part_size_bytes)
    has_all = {part.part_number for part in parts} == set(range(1, part_count + 1))
    return has_all and sum(part.size_bytes for part in parts) == file.size_bytes


def mismatch(file: File, found: ObjectInfo) -> UploadRefused | None:
    """Return the error if size or checksum differ from the declared ones."""
    if found.size_bytes != file.size_bytes:
        message = (
            f"The uploaded file is {found.size_bytes} bytes, but {file.size_bytes} bytes were declared; "
            "upload the file again"
        )
        return UploadRefused(message, code="size_mismatch")
    if found.sha256 and file.declared_sha256 and found.sha256.lower() != file.declared_sha256:
        message = "The SHA-256 of the upload differs from the declared one: it was damaged on the way; upload it again"
        return UploadRefused(message, code="checksum_mismatch")
    return None


def detected_fields(sniffed: sniff.Sniffed, filename: str) -> dict[str, object]:
    """Return `detected_type` and `detected_format`, which is None if no conversion accepts the content."""
    try:
        detected = sniff.decide(filename, sniffed).name
    except BadSource:
        detected = None
    return {"detected_type": sniffed.mime_type, "detected_format": detected}
