"""In-memory stores, bus and object store with one set of sweeps, and a clock that the test moves."""

from typing import Any

from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.errors import UploadIncomplete
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id, now_ms
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores
from converto_infra.settings import Settings
from file_service.housekeeping.retention.removal import Removed
from file_service.housekeeping.sweeps import Sweeps
from tests.unit.file_service.housekeeping.records import OWNER, a_conversion, a_file, an_output

DAY_S = 86400.0
SETTINGS = Settings(
    lease_s=20,
    sweep_interval_s=1,
    max_lost=5,
    republish_after_s=60,
    republish_max_s=3600,
    upload_deadline_s=DAY_S,
    result_retention_s=7 * DAY_S,
    offers_ttl_s=int(7 * DAY_S),
)


class MemoryServers:
    """The memory adapters with one set of sweeps; `passed_s` moves the clock."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.stores, self.bus = MemoryStores(), MemoryEventBus()
        self.objects = MemoryObjectStore(clock=self.now_ms)
        self.passed_s = 0.0
        self.started_ms = now_ms()
        self.confirmed: list[str] = []
        self.are_uploads_complete = True
        self.sweeps = self.another_process()

    def another_process(self, *, wrong_ms: int = 0) -> Sweeps:
        """The sweeps of a process whose clock is wrong by so much."""
        return Sweeps(
            self.settings,
            self.stores,
            self.objects,
            self.bus,
            confirm_upload=self.confirm,
            monotonic=lambda: self.passed_s,
            now_ms=lambda: self.now_ms() + wrong_ms,
        )

    def now_ms(self) -> int:
        return self.started_ms + int(self.passed_s * 1000)

    async def confirm(self, file_id: str) -> None:
        self.confirmed.append(file_id)
        if not self.are_uploads_complete:
            raise UploadIncomplete("The upload is not complete")

    async def add(self, status: Status, **fields: Any) -> Conversion:
        record = a_conversion(status, now_ms=self.now_ms(), **fields)
        await self.stores.conversions.insert(record)
        return record

    async def add_file(self, status: FileStatus, **fields: Any) -> File:
        file = a_file(status, now_ms=self.now_ms(), **fields)
        await self.stores.files.insert(file)
        return file

    async def reload(self, record: Conversion) -> Conversion:
        found = await self.stores.conversions.get(record.id)
        assert found is not None
        return found

    async def add_output(self, record: Conversion, *, token: int | None = None, name: str = "result.pdf") -> str:
        """An object where a worker with this token (default: the record's) would put it; its key."""
        key = f"t/{record.owner}/out/{record.id}/{record.token if token is None else token}/{name}"
        await self.objects.put(key, b"result", content_type="application/pdf")
        return key

    async def add_completed(self, *, token: int = 2, **fields: Any) -> Conversion:
        """A completed conversion with its one result in the object store."""
        record_id = new_id()
        key = f"t/{OWNER}/out/{record_id}/{token}/result.pdf"
        await self.objects.put(key, b"result", content_type="application/pdf")
        start = {"id": record_id, "token": token, "outputs": (an_output(key),), "completed_at": self.now_ms()}
        return await self.add(Status.COMPLETED, **{**start, **fields})

    async def sweep(self, name: str) -> int:
        """Run one rule."""
        return await self.sweeps.retention[name].sweep()

    async def listed(self, name: str) -> list[Removed]:
        """What a dry run of one rule lists."""
        return [removed async for one in self.sweeps.retention[name].removals() for removed in one.removed]

    def waiting(self, lane: Lane = Lane.NORMAL) -> int:
        return self.bus.waiting(Family.OFFICE, lane)
