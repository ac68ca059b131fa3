"""Expires conversions and removes files whose upload never arrived.

Bytes that arrived without a confirmation are confirmed instead (behaviour M1: the client may be gone).
"""

from collections.abc import AsyncIterator, Callable
from functools import partial

import structlog

from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import expire_upload
from converto_core.files.record import File, FileStatus
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import ConversionFilter, ConversionStore, FileStore
from file_service.delivery.sender import Sender
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.removal import Kind, Removal, Removed, duration_text, judged, nothing_of
from file_service.uploads.unattended import ConfirmUpload, Found, confirm_unattended
from file_service.uploads.verification import is_whole, parts_of

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class AbandonedUploads:
    """Files whose upload deadline has passed, and the conversions that wait for them."""

    def __init__(
        self,
        conversions: ConversionStore,
        files: FileStore,
        objects: ObjectStore,
        sender: Sender,
        *,
        deadline_s: float,
        confirm_upload: ConfirmUpload | None,
        now_ms: Callable[[], int],
    ) -> None:
        """Without `confirm_upload`, uploads that have arrived are left to the file service."""
        self._conversions = conversions
        self._files = files
        self._objects = objects
        self._sender = sender
        self._deadline_s = deadline_s
        self._confirm_upload = confirm_upload
        self._now_ms = now_ms

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield conversions, then files, oldest first; a confirmation is a removal that removes nothing."""
        before_ms = now_ms - int(self._deadline_s * 1000)

        async def read_waiting(from_ms: int, limit: int) -> list[Conversion]:
            return await self._conversions.awaiting_upload(
                created_from_ms=from_ms, created_before_ms=before_ms, limit=limit
            )

        async def read_files(from_ms: int, limit: int) -> list[File]:
            return await self._files.abandoned(created_from_ms=from_ms, created_before_ms=before_ms, limit=limit)

        async for waiting in pages(read_waiting, lambda one: one.created_at):
            for conversion in waiting:
                yield await judged(conversion.id, self._expiry(conversion))
        async for abandoned in pages(read_files, lambda one: one.created_at):
            for file in abandoned:
                yield await judged(file.id, self._removal(file, before_ms))

    async def _expiry(self, conversion: Conversion) -> Removal:
        file = await self._files.get(conversion.file_id)
        if file is not None and await self._has_arrived(file):
            return Removal((), partial(self._confirm_or_expire, file, conversion), record_id=conversion.id)
        reason = f"its file was not uploaded within {duration_text(self._deadline_s)}, so it expires"
        removed = Removed(kind=Kind.CONVERSION, id=conversion.id, since_ms=conversion.created_at, reason=reason)
        return Removal((removed,), partial(self._expire, conversion))

    async def _has_arrived(self, file: File) -> bool:
        if file.status is FileStatus.DELETED:
            return False
        if file.status is FileStatus.UPLOADED or await self._objects.head(file.key) is not None:
            return True
        return is_whole(file, await parts_of(self._objects, file.key, file.upload_id))

    async def _confirm_or_expire(self, file: File, conversion: Conversion) -> int:
        """Confirm the upload; other bytes than the declared ones are no upload, so the conversion expires."""
        found = await self._confirm(file)
        return await self._expire(conversion) if found is Found.REFUSED else int(found is Found.CONFIRMED)

    async def _confirm_or_delete(self, file: File) -> int:
        """Confirm the upload; if it is not the declared one, nobody will ask why any more, and it is deleted."""
        found = await self._confirm(file)
        return await self._delete(file) if found is Found.REFUSED else int(found is Found.CONFIRMED)

    async def _confirm(self, file: File) -> Found | None:
        """Return what was found. A refusal may be old news: the right bytes may have arrived and started since."""
        if self._confirm_upload is None:
            return None
        found = await confirm_unattended(self._confirm_upload, file.id, by="sweep")
        if found is not Found.REFUSED:
            return found
        now = await self._files.get(file.id)
        return found if now is not None and now.status is FileStatus.AWAITING_UPLOAD else Found.GONE

    async def _expire(self, conversion: Conversion) -> int:
        after = await self._sender.apply(expire_upload(conversion, now_ms=self._now_ms()))
        if after is None:
            return 0
        log.info("upload.expired", conversion_id=after.id, file_id=after.file_id)
        return 1

    async def _removal(self, file: File, before_ms: int) -> Removal:
        """Return an empty one if a conversion waits that is younger than the deadline, or that confirms the file."""
        query = ConversionFilter(file_id=file.id, statuses=(Status.AWAITING_UPLOAD,), limit=1)
        newest = await self._conversions.find(query)
        if any(one.created_at >= before_ms for one in newest):
            return nothing_of(file.id)
        if not await self._has_arrived(file):
            return await self._file_removal(file)
        return nothing_of(file.id) if newest else Removal((), partial(self._confirm_or_delete, file), record_id=file.id)

    async def _file_removal(self, file: File) -> Removal:
        reason = f"not uploaded within {duration_text(self._deadline_s)}"
        record = Removed(kind=Kind.FILE, id=file.id, since_ms=file.created_at, reason=reason)
        if file.upload_id is None:
            return Removal((record,), partial(self._delete, file))
        parts = await parts_of(self._objects, file.key, file.upload_id)
        size_bytes = sum(part.size_bytes for part in parts)
        upload = Removed(
            kind=Kind.UPLOAD, id=file.upload_id, since_ms=file.created_at, size_bytes=size_bytes, reason=reason
        )
        return Removal((record, upload), partial(self._delete, file))

    async def _delete(self, file: File) -> int:
        """Mark the record, and only then delete: from now on nothing confirms what is at its key.

        After a crash in between, the rules `open_uploads` and `orphans` remove the rest.
        """
        deleted = {"status": FileStatus.DELETED, "updated_at": self._now_ms()}
        after = await self._files.update(
            file.id, version=file.version, expected={FileStatus.AWAITING_UPLOAD}, assign=deleted
        )
        if after is None:
            return 0
        if file.upload_id is not None:
            await self._objects.abort_multipart(file.key, file.upload_id)
        await self._objects.delete([file.key])
        return 1
