"""Uploads in parts that nobody finishes: their parts cost room and belong to no object."""

from collections.abc import AsyncIterator
from functools import partial

import structlog

from converto_core.conversion.record import Status
from converto_core.files.record import FileStatus
from converto_core.object_keys import TENANTS, OutputKey, SourceKey, parse_key
from converto_core.ports.objects import ObjectStore, OpenUpload
from converto_core.ports.stores import ConversionStore, FileStore
from file_service.housekeeping.retention.bucket_mark import BucketMark
from file_service.housekeeping.retention.removal import Kind, Removal, RemovedThing, spoken

PAGE = 1000

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class OpenUploads:
    """Multipart uploads for which no file waits and no worker works."""

    def __init__(
        self,
        conversions: ConversionStore,
        files: FileStore,
        objects: ObjectStore,
        mark: BucketMark,
        *,
        age_s: float,
    ) -> None:
        """Younger ones than `age_s` are left alone."""
        self._conversions = conversions
        self._files = files
        self._objects = objects
        self._mark = mark
        self._age_s = age_s
        self._is_told = False

    async def departures(self, now_ms: int) -> AsyncIterator[Removal]:
        """In order of keys; nothing where the store cannot list them (then a rule of the store itself has to)."""
        if not await self._mark.is_ours():
            return
        before_ms = now_ms - int(self._age_s * 1000)
        after: tuple[str, str] | None = None
        while True:
            page = await self._objects.list_uploads(TENANTS, after=after, limit=PAGE)
            if page is None:
                self._tell()
                return
            for upload in page.uploads:
                if upload.started_at < before_ms and not await self._is_wanted(upload):
                    yield await self._departure(upload)
            if (after := page.after) is None:
                return

    async def _is_wanted(self, upload: OpenUpload) -> bool:
        place = parse_key(upload.key)
        if isinstance(place, SourceKey):
            file = await self._files.get(place.file_id, owner=place.owner)
            return file is not None and (file.status, file.upload_id) == (FileStatus.AWAITING_UPLOAD, upload.upload_id)
        if isinstance(place, OutputKey):
            conversion = await self._conversions.get(place.conversion_id, owner=place.owner)
            return conversion is not None and conversion.status is Status.PROCESSING and place.token >= conversion.token
        return True  # not ours to judge

    async def _departure(self, upload: OpenUpload) -> Removal:
        parts = await self._objects.list_parts(upload.key, upload.upload_id)
        leaving = RemovedThing(
            kind=Kind.UPLOAD,
            id=upload.upload_id,
            since_ms=upload.started_at,
            size_bytes=sum(part.size_bytes for part in parts),
            reason=f"begun for {upload.key} more than {spoken(self._age_s)} ago and not finished",
        )
        return Removal((leaving,), partial(self._abort, upload))

    async def _abort(self, upload: OpenUpload) -> int:
        await self._objects.abort_multipart(upload.key, upload.upload_id)
        log.info("upload.aborted", key=upload.key)
        return 1

    def _tell(self) -> None:
        if not self._is_told:
            log.warning("uploads.cannot_be_listed", hint="let the bucket abort unfinished uploads by a lifecycle rule")
        self._is_told = True
