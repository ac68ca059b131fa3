"""What this worker runs, and its record in the database that shows it to others (behaviour M15)."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from conversion_worker.engines import InstalledEngines
from converto_core.catalogue import Slot, Worker
from converto_core.conversion.record import Conversion
from converto_core.errors import StoreUnavailable
from converto_core.ports.stores import WorkerStore
from converto_infra.clock import Clock, jittered_s

INTERVAL_S = 5.0
WRITE_GAP_S = 0.5  # short conversions come and go many times a second; a person cannot see more than this
ALIVE_MS = int(3 * INTERVAL_S * 1000)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class RunningJobs:
    """The conversions that the slots of this worker hold."""

    def __init__(self) -> None:
        self._watchers: list[asyncio.Event] = []
        self._reserved: set[str] = set()
        self._running: dict[str, Slot] = {}

    def watch(self) -> asyncio.Event:
        """Return an event of the caller's own that is set after each change; the caller clears it."""
        changed = asyncio.Event()
        self._watchers.append(changed)
        return changed

    def reserve(self, conversion_id: str) -> bool:
        """Reserve a conversion for one slot; return False when another slot of this worker holds it."""
        if conversion_id in self._reserved:
            return False
        self._reserved.add(conversion_id)
        return True

    def start(self, claimed: Conversion) -> None:
        """List a reserved conversion as running."""
        self._running[claimed.id] = Slot(conversion_id=claimed.id, started_at=claimed.started_at or 0)
        self._report_change()

    def release(self, conversion_id: str) -> None:
        """Forget a conversion that its slot has finished with."""
        self._reserved.discard(conversion_id)
        if self._running.pop(conversion_id, None) is not None:
            self._report_change()

    def _report_change(self) -> None:
        for changed in self._watchers:
            changed.set()

    @property
    def running(self) -> tuple[Slot, ...]:
        """Running conversions, oldest first."""
        return tuple(sorted(self._running.values(), key=lambda slot: slot.started_at))


class WorkerRegistry:
    """Keeps this worker's record in the database up to date."""

    def __init__(
        self,
        worker: Worker,
        *,
        store: WorkerStore,
        running_jobs: RunningJobs,
        clock: Clock,
        stopping: asyncio.Event,
        installed: Callable[[], InstalledEngines] | None = None,
    ) -> None:
        """`worker` is the record; time, running conversions, `is_stopping` and what `installed` returns are filled in
        at each write.
        """
        self._worker = worker
        self._store = store
        self._running_jobs, self._changed = running_jobs, running_jobs.watch()
        self._clock = clock
        self._stopping = stopping
        self._installed = installed

    def note_change(self) -> None:
        """Write the record soon: what is installed has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Write the record now, after each change and every few seconds; survives an unavailable database."""
        while True:
            self._changed.clear()
            await self._put()
            await self._clock.sleep(WRITE_GAP_S)
            await self._clock.wait(self._changed, jittered_s(INTERVAL_S))

    async def deregister(self) -> None:
        """Remove the record, unless no other worker offers the same: offers outlive the last worker."""
        try:
            if await self._others_offer_the_same():
                await self._store.remove(self._worker.id)
            else:
                await self._store.put(self._record())
        except StoreUnavailable:
            log.warning("register.not_removed", worker=self._worker.id)

    async def _put(self) -> None:
        try:
            await self._store.put(self._record())
        except StoreUnavailable:
            log.warning("register.database_away", worker=self._worker.id)

    async def _others_offer_the_same(self) -> bool:
        alive = await self._store.seen_since(self._clock.now_ms() - ALIVE_MS)
        others = [worker for worker in alive if worker.id != self._worker.id and not worker.is_stopping]
        return self._record().adds_nothing_to(others)

    def _record(self) -> Worker:
        installed = self._installed() if self._installed else None
        worker = (
            msgspec.structs.replace(self._worker, **msgspec.structs.asdict(installed)) if installed else self._worker
        )
        return msgspec.structs.replace(
            worker,
            seen_at=self._clock.now_ms(),
            running=self._running_jobs.running,
            is_stopping=self._stopping.is_set(),
        )
