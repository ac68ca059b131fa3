"""Uploads that were announced and never came: conversions that wait for them expire, and the files are given up.

Bytes that did arrive although nobody said so are confirmed instead (behaviour M1: the client may be gone).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import structlog

from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import expire_upload
from converto_core.errors import RequestError
from converto_core.events import conversion_event
from converto_core.files.record import File, FileStatus
from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import ConversionFilter, ConversionStore, FileStore
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.removal import Kind, Removal, RemovedThing, spoken

ConfirmUpload = Callable[[str], Awaitable[object]]
"""Called with a file id whose bytes are there although nobody confirmed them."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class AbandonedUploads:
    """Files that were announced and never arrived, and conversions that wait for them."""

    def __init__(
        self,
        conversions: ConversionStore,
        files: FileStore,
        objects: ObjectStore,
        bus: EventBus,
        *,
        deadline_s: float,
        confirm_upload: ConfirmUpload | None,
        now_ms: Callable[[], int],
    ) -> None:
        """Without `confirm_upload`, uploads that did arrive are left alone for the file service."""
        self._conversions = conversions
        self._files = files
        self._objects = objects
        self._bus = bus
        self._deadline_s = deadline_s
        self._confirm_upload = confirm_upload
        self._now_ms = now_ms

    async def departures(self, now_ms: int) -> AsyncIterator[Removal]:
        """What waits first, then the files, both oldest first. A confirmation is a departure that nothing leaves by."""
        before_ms = now_ms - int(self._deadline_s * 1000)

        async def read_waiting(from_ms: int, limit: int) -> list[Conversion]:
            return await self._conversions.awaiting_upload(
                created_from_ms=from_ms, created_before_ms=before_ms, limit=limit
            )

        async def read_files(from_ms: int, limit: int) -> list[File]:
            return await self._files.abandoned(created_from_ms=from_ms, created_before_ms=before_ms, limit=limit)

        async for waiting in pages(read_waiting, lambda one: one.created_at):
            for conversion in waiting:
                yield await self._waiting(conversion)
        async for abandoned in pages(read_files, lambda one: one.created_at):
            for file in abandoned:
                if not await self._is_wanted(file, before_ms):
                    yield await self._abandoned(file)

    async def _waiting(self, conversion: Conversion) -> Removal:
        file = await self._files.get(conversion.file_id)
        if file is not None and await self._has_arrived(file):
            return Removal((), partial(self._confirm, file))
        reason = f"its file was not uploaded within {spoken(self._deadline_s)}, so it expires"
        leaving = RemovedThing(kind=Kind.CONVERSION, id=conversion.id, since_ms=conversion.created_at, reason=reason)
        return Removal((leaving,), partial(self._expire, conversion))

    async def _has_arrived(self, file: File) -> bool:
        if file.status is FileStatus.DELETED:
            return False
        return file.status is FileStatus.UPLOADED or await self._objects.head(file.key) is not None

    async def _confirm(self, file: File) -> int:
        if self._confirm_upload is None:
            return 0
        try:
            await self._confirm_upload(file.id)
        except RequestError as error:
            # Other bytes than announced: the use case has removed them, so the next sweep finds nothing and expires it.
            log.info("upload.refused", file_id=file.id, code=error.stable_code)
            return 0
        return 1

    async def _expire(self, conversion: Conversion) -> int:
        after = await self._conversions.apply(expire_upload(conversion, now_ms=self._now_ms()))
        if after is None:
            return 0
        log.info("upload.expired", conversion_id=after.id, file_id=after.file_id)
        await self._bus.publish_event(conversion_event(after))
        return 1

    async def _is_wanted(self, file: File, before_ms: int) -> bool:
        """True while a conversion that is younger than the deadline waits for it, and when its bytes are there."""
        query = ConversionFilter(file_id=file.id, statuses=(Status.AWAITING_UPLOAD,), limit=1)
        newest = await self._conversions.find(query)
        return any(one.created_at >= before_ms for one in newest) or await self._has_arrived(file)

    async def _abandoned(self, file: File) -> Removal:
        reason = f"not uploaded within {spoken(self._deadline_s)}"
        record = RemovedThing(kind=Kind.FILE, id=file.id, since_ms=file.created_at, reason=reason)
        if file.upload_id is None:
            return Removal((record,), partial(self._drop, file))
        parts = await self._objects.list_parts(file.key, file.upload_id)
        size_bytes = sum(part.size_bytes for part in parts)
        upload = RemovedThing(
            kind=Kind.UPLOAD, id=file.upload_id, since_ms=file.created_at, size_bytes=size_bytes, reason=reason
        )
        return Removal((record, upload), partial(self._drop, file))

    async def _drop(self, file: File) -> int:
        """The record first: what a crash leaves of the upload, the sweep of open uploads finds."""
        gone = {"status": FileStatus.DELETED, "updated_at": self._now_ms()}
        dropped = await self._files.update(
            file.id, version=file.version, expected={FileStatus.AWAITING_UPLOAD}, assign=gone
        )
        if dropped is None:
            return 0
        if file.upload_id is not None:
            await self._objects.abort_multipart(file.key, file.upload_id)
        return 1
