"""Records of workers that ended without a word."""

from collections.abc import AsyncIterator
from functools import partial

from converto_core.catalogue import Worker
from converto_core.ports.stores import WorkerStore
from file_service.housekeeping.retention.removal import Kind, Removal, RemovedThing, spoken

WORKER_GONE_MS = 60_000


class GoneWorkers:
    """Workers whose record nobody needs any more."""

    def __init__(self, workers: WorkerStore, *, offers_ttl_s: float) -> None:
        """Offers outlive their worker by `offers_ttl_s`, unless a living worker makes the same ones."""
        self._workers = workers
        self._ttl_s = offers_ttl_s

    async def departures(self, now_ms: int) -> AsyncIterator[Removal]:
        """Newest first, because a newer worker may replace an older one."""
        known = await self._workers.seen_since(0)
        offered: set[str] = set()
        for worker in sorted(known, key=lambda worker: worker.seen_at, reverse=True):
            offers = {offer.converter for offer in worker.offers}
            if reason := self._reason(worker, now_ms, is_replaced=offers <= offered):
                leaving = RemovedThing(kind=Kind.WORKER, id=worker.id, since_ms=worker.seen_at, reason=reason)
                yield Removal((leaving,), partial(self._remove, worker))
            offered |= offers

    def _reason(self, worker: Worker, now_ms: int, *, is_replaced: bool) -> str | None:
        silent_ms = now_ms - worker.seen_at
        if silent_ms > self._ttl_s * 1000:
            return f"not heard of for {spoken(self._ttl_s)}"
        return "gone, and others offer the same" if is_replaced and silent_ms > WORKER_GONE_MS else None

    async def _remove(self, worker: Worker) -> int:
        await self._workers.remove(worker.id)
        return 1
