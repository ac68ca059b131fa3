"""Removes records of workers that stopped without deregistering."""

from collections.abc import AsyncIterator
from functools import partial

from converto_core.catalogue import Worker
from converto_core.ports.stores import WorkerStore
from file_service.housekeeping.retention.removal import Kind, Removal, Removed, duration_text

WORKER_GONE_MS = 60_000


class GoneWorkers:
    """Workers whose offers have expired or are replaced."""

    def __init__(self, workers: WorkerStore, *, offers_ttl_s: float) -> None:
        """A stopped worker's offers stay for `offers_ttl_s`, unless a newer worker makes the same offers."""
        self._workers = workers
        self._ttl_s = offers_ttl_s

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield newest first, because a newer worker may replace an older one."""
        known = await self._workers.seen_since(0)
        newer: list[Worker] = []
        for worker in sorted(known, key=lambda worker: worker.seen_at, reverse=True):
            if reason := self._reason(worker, now_ms, is_replaced=worker.adds_nothing_to(newer)):
                removed = Removed(kind=Kind.WORKER, id=worker.id, since_ms=worker.seen_at, reason=reason)
                yield Removal((removed,), partial(self._remove, worker))
            newer.append(worker)

    def _reason(self, worker: Worker, now_ms: int, *, is_replaced: bool) -> str | None:
        silent_ms = now_ms - worker.seen_at
        if silent_ms > self._ttl_s * 1000:
            return f"no heartbeat for {duration_text(self._ttl_s)}"
        return "stopped, and newer workers make the same offers" if is_replaced and silent_ms > WORKER_GONE_MS else None

    async def _remove(self, worker: Worker) -> int:
        await self._workers.remove(worker.id)
        return 1
