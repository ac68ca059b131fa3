"""Aborts multipart uploads that nobody will finish; their parts take up space but belong to no object."""

from collections.abc import AsyncIterator
from functools import partial

import structlog

from converto_core.conversion.record import Status
from converto_core.files.record import FileStatus
from converto_core.object_keys import TENANTS
from converto_core.ports.objects import ObjectStore, OpenUpload
from file_service.housekeeping.retention.bucket_mark import BucketMark
from file_service.housekeeping.retention.key_records import KeyRecords, OutputOwner, SourceOwner
from file_service.housekeeping.retention.removal import Kind, Removal, Removed, duration_text, judged
from file_service.uploads.verification import parts_of

PAGE = 1000

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class OpenUploads:
    """Old multipart uploads that no waiting file and no running worker needs."""

    def __init__(self, records: KeyRecords, objects: ObjectStore, mark: BucketMark, *, age_s: float) -> None:
        """Uploads younger than `age_s` are kept."""
        self._records = records
        self._objects = objects
        self._mark = mark
        self._age_s = age_s
        self._is_unsupported_logged = False

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield uploads in key order; nothing if the store cannot list them, which then needs a lifecycle rule."""
        if not await self._mark.is_ours():
            return
        before_ms = now_ms - int(self._age_s * 1000)
        after: tuple[str, str] | None = None
        while True:
            page = await self._objects.list_uploads(TENANTS, after=after, limit=PAGE)
            if page is None:
                self._log_unsupported()
                return
            old = [upload for upload in page.uploads if upload.started_at < before_ms]
            owners = await self._records.find(upload.key for upload in old)
            for upload in old:
                if (owner := owners.get(upload.key)) is not None and not _is_needed(upload, owner):
                    yield await judged(upload.upload_id, self._removal(upload))
            if (after := page.after) is None:
                return

    async def _removal(self, upload: OpenUpload) -> Removal:
        parts = await parts_of(self._objects, upload.key, upload.upload_id)
        removed = Removed(
            kind=Kind.UPLOAD,
            id=upload.upload_id,
            since_ms=upload.started_at,
            size_bytes=sum(part.size_bytes for part in parts),
            reason=f"started for {upload.key} more than {duration_text(self._age_s)} ago and not finished",
        )
        return Removal((removed,), partial(self._abort, upload))

    async def _abort(self, upload: OpenUpload) -> int:
        await self._objects.abort_multipart(upload.key, upload.upload_id)
        log.info("upload.aborted", key=upload.key)
        return 1

    def _log_unsupported(self) -> None:
        if not self._is_unsupported_logged:
            hint = "add a lifecycle rule to the bucket that aborts unfinished multipart uploads"
            log.warning("uploads.cannot_be_listed", hint=hint)
        self._is_unsupported_logged = True


def _is_needed(upload: OpenUpload, owner: SourceOwner | OutputOwner) -> bool:
    if isinstance(owner, SourceOwner):
        file = owner.file
        return file is not None and (file.status, file.upload_id) == (FileStatus.AWAITING_UPLOAD, upload.upload_id)
    conversion = owner.conversion
    if conversion is None or conversion.status is not Status.PROCESSING:
        return False
    return owner.place.token >= conversion.token
