"""Who this worker is and what it runs, told to the database every few seconds. It decides nothing."""

import asyncio

import msgspec
import structlog

from conversion_worker.clock import Clock, jittered_s
from converto_core.catalogue import Slot, Worker
from converto_core.conversion.record import Conversion
from converto_core.errors import StoreUnavailable
from converto_core.ports.stores import WorkerStore

INTERVAL_S = 5.0
WRITE_GAP_S = 0.5  # short conversions come and go many times a second; a person cannot see more than this
ALIVE_MS = int(3 * INTERVAL_S * 1000)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class RunningJobs:
    """What the slots of this worker hold at this moment (behaviour M15)."""

    def __init__(self) -> None:
        """Empty."""
        self.changed = asyncio.Event()
        self._held: set[str] = set()
        self._running: dict[str, Slot] = {}

    def take(self, conversion_id: str) -> bool:
        """Reserve a conversion for one slot; False when another slot of this worker has it already."""
        if conversion_id in self._held:
            return False
        self._held.add(conversion_id)
        return True

    def start(self, claimed: Conversion) -> None:
        """Show it as running."""
        self._running[claimed.id] = Slot(conversion_id=claimed.id, started_at=claimed.started_at or 0)
        self.changed.set()

    def drop(self, conversion_id: str) -> None:
        """The slot is done with it."""
        self._held.discard(conversion_id)
        if self._running.pop(conversion_id, None) is not None:
            self.changed.set()

    @property
    def running(self) -> tuple[Slot, ...]:
        """Running conversions, oldest first."""
        return tuple(sorted(self._running.values(), key=lambda slot: slot.started_at))


class WorkerRegistry:
    """Keeps this worker's record fresh."""

    def __init__(
        self, worker: Worker, *, store: WorkerStore, board: RunningJobs, clock: Clock, stopping: asyncio.Event
    ) -> None:
        """`worker` is the record without its moving parts."""
        self._worker = worker
        self._store = store
        self._board = board
        self._clock = clock
        self._stopping = stopping

    async def run(self) -> None:
        """Write the record at once, at each change, and every few seconds; goes on while the database is away."""
        while True:
            self._board.changed.clear()
            await self._put()
            await self._clock.sleep(WRITE_GAP_S)
            await self._clock.wait(self._board.changed, jittered_s(INTERVAL_S))

    async def leave(self) -> None:
        """Take the record away, unless nobody else offers what this worker did: offers outlive the last worker."""
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
        offered = {offer.converter for worker in others for offer in worker.offers}
        return {offer.converter for offer in self._worker.offers} <= offered

    def _record(self) -> Worker:
        return msgspec.structs.replace(
            self._worker,
            seen_at=self._clock.now_ms(),
            running=self._board.running,
            is_stopping=self._stopping.is_set(),
        )
