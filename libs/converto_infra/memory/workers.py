"""In-memory twin of `WorkerStore`."""

from converto_core.catalogue import Worker
from converto_infra.memory.collection import Collection, MemoryServer


class MemoryWorkerStore:
    """Twin of `WorkerStore`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._workers = Collection(Worker)

    async def put(self, worker: Worker) -> None:
        """Store the whole record."""
        await self._server.answer()
        self._workers.replace(worker)

    async def seen_since(self, since_ms: int) -> list[Worker]:
        """Workers seen at or after the given time."""
        await self._server.answer()
        return self._workers.select(lambda one: one.seen_at >= since_ms)

    async def remove(self, worker_id: str) -> None:
        """Delete a worker's record."""
        await self._server.answer()
        self._workers.delete(worker_id)
