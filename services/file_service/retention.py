"""Ends what has waited or lain long enough: uploads that never came, results past their time, records of gone workers.

It knows no queue. What is removed is removed in the record first, so that nobody is shown what is being deleted.
"""

import uuid
from collections.abc import Awaitable, Callable

import structlog

from converto_core.catalogue import Worker
from converto_core.changes import expire_result, expire_upload
from converto_core.conversion import Conversion, Status
from converto_core.errors import ObjectStoreUnavailable, RequestError
from converto_core.events import fact
from converto_core.file import File, FileStatus
from converto_core.ports import ConversionFilter, ConversionStore, EventBus, FileStore, ObjectStore, WorkerStore

BATCH = 200
WORKER_GONE_MS = 60_000

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
        self._deadline_ms = int(deadline_s * 1000)
        self._confirm_upload = confirm_upload
        self._now_ms = now_ms

    async def sweep(self) -> int:
        """End what is past its deadline; how many records were settled."""
        before_ms = self._now_ms() - self._deadline_ms
        waiting = await self._conversions.awaiting_upload(created_before_ms=before_ms, limit=BATCH)
        settled = sum([await self._settle(conversion) for conversion in waiting])
        abandoned = await self._files.abandoned(created_before_ms=before_ms, limit=BATCH)
        return settled + sum([await self._drop(file) for file in abandoned])

    async def _settle(self, conversion: Conversion) -> bool:
        file = await self._files.get(conversion.file_id)
        if file is not None and await self._has_arrived(file):
            return await self._confirm(file)
        after = await self._conversions.apply(expire_upload(conversion, now_ms=self._now_ms()))
        if after is None:
            return False
        log.info("upload.expired", conversion_id=after.id, file_id=after.file_id)
        await self._bus.announce(fact(after))
        return True

    async def _has_arrived(self, file: File) -> bool:
        if file.status is FileStatus.DELETED:
            return False
        return file.status is FileStatus.UPLOADED or await self._objects.head(file.key) is not None

    async def _confirm(self, file: File) -> bool:
        if self._confirm_upload is None:
            return False
        try:
            await self._confirm_upload(file.id)
        except RequestError as error:
            # Other bytes than announced: the use case has removed them, so the next sweep finds nothing and expires it.
            log.info("upload.refused", file_id=file.id, code=error.stable_code)
            return False
        return True

    async def _drop(self, file: File) -> bool:
        """Forget an announced file, unless a younger conversion still waits for its bytes."""
        waiting = ConversionFilter(file_id=file.id, statuses=(Status.AWAITING_UPLOAD,), limit=1)
        if await self._conversions.find(waiting) or await self._has_arrived(file):
            return False
        if file.upload_id is not None:
            await self._objects.abort_multipart(file.key, file.upload_id)
        gone = {"status": FileStatus.DELETED, "updated_at": self._now_ms()}
        dropped = await self._files.update(
            file.id, version=file.version, expected={FileStatus.AWAITING_UPLOAD}, assign=gone
        )
        return dropped is not None


class OldResults:
    """Completed conversions whose results have been kept long enough."""

    def __init__(
        self,
        conversions: ConversionStore,
        objects: ObjectStore,
        bus: EventBus,
        *,
        retention_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        """`retention_s` counts from completion."""
        self._conversions = conversions
        self._objects = objects
        self._bus = bus
        self._retention_ms = int(retention_s * 1000)
        self._now_ms = now_ms
        self._undeleted: list[Conversion] = []

    async def sweep(self) -> int:
        """Expire what is past its time, then delete its objects; how many conversions expired."""
        await self._objects.ping()  # nothing is expired while its objects could not be deleted
        for conversion in self._undeleted[:]:
            await self._delete_objects(conversion)
            self._undeleted.remove(conversion)
        before_ms, expired = self._now_ms() - self._retention_ms, 0
        after = _first_id_of(before_ms)
        while page := await self._page(after):
            old = [conversion for conversion in page if (conversion.completed_at or 0) < before_ms]
            expired += sum([await self._expire(conversion) for conversion in old])
            after = page[-1].id
        return expired

    async def _page(self, after: str) -> list[Conversion]:
        """Ids sort by creation, and nothing is completed before it is created: so these hold all candidates."""
        return await self._conversions.find(ConversionFilter(statuses=(Status.COMPLETED,), after=after, limit=BATCH))

    async def _expire(self, conversion: Conversion) -> bool:
        after = await self._conversions.apply(expire_result(conversion, now_ms=self._now_ms()))
        if after is None:
            return False
        await self._bus.announce(fact(after))
        try:
            await self._delete_objects(conversion)
        except ObjectStoreUnavailable:
            self._undeleted.append(conversion)
            raise
        return True

    async def _delete_objects(self, conversion: Conversion) -> None:
        """Its results, and what fenced workers left under older tokens; a retry's newer token is not touched."""
        prefix = f"t/{conversion.owner}/out/{conversion.id}/"
        keys = await self._objects.list_keys(prefix)
        await self._objects.delete([key for key in keys if _token_in(key, prefix) <= conversion.token])
        log.info("results.deleted", conversion_id=conversion.id, count=len(keys))


class GoneWorkers:
    """Records of workers that ended without a word."""

    def __init__(self, workers: WorkerStore, *, offers_ttl_s: float, now_ms: Callable[[], int]) -> None:
        """Offers outlive their worker by `offers_ttl_s`, unless a living worker makes the same ones."""
        self._workers = workers
        self._ttl_ms = int(offers_ttl_s * 1000)
        self._now_ms = now_ms

    async def sweep(self) -> int:
        """Forget workers that are not needed any more; how many."""
        known = await self._workers.seen_since(0)
        newest_first = sorted(known, key=lambda worker: worker.seen_at, reverse=True)
        offered: set[str] = set()
        gone: list[Worker] = []
        for worker in newest_first:
            offers = {offer.converter for offer in worker.offers}
            if self._is_gone(worker, is_replaced=offers <= offered):
                gone.append(worker)
            offered |= offers
        for worker in gone:
            await self._workers.remove(worker.id)
        return len(gone)

    def _is_gone(self, worker: Worker, *, is_replaced: bool) -> bool:
        silent_ms = self._now_ms() - worker.seen_at
        return silent_ms > self._ttl_ms or (is_replaced and silent_ms > WORKER_GONE_MS)


def _first_id_of(time_ms: int) -> str:
    """The smallest UUIDv7 text of a millisecond: all ids made before it sort before it."""
    return str(uuid.UUID(int=max(time_ms, 0) << 80))


def _token_in(key: str, prefix: str) -> int:
    token = key.removeprefix(prefix).partition("/")[0]
    return int(token) if token.isdecimal() else 0
