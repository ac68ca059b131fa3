"""`WorkerStore` on MongoDB."""

from pymongo import ASCENDING

from converto_core.catalogue import Worker
from converto_infra.mongo.client import CurrentCollection
from converto_infra.mongo.collection import Collection
from converto_infra.resilience import Guard
from converto_infra.unreadable import UnreadableRecords


class MongoWorkerStore:
    """`WorkerStore` on the collection `workers`."""

    def __init__(
        self, collection: CurrentCollection, guard: Guard, unreadable: UnreadableRecords | None = None
    ) -> None:
        self._workers = Collection(collection, Worker, guard, unreadable)

    async def ensure_indexes(self) -> None:
        """For finding the workers that are alive."""
        await self._workers.ensure_index(("seen_at", ASCENDING))

    async def put(self, worker: Worker) -> None:
        """Store the whole record, replacing an earlier one."""
        await self._workers.replace(worker)

    async def seen_since(self, since_ms: int) -> list[Worker]:
        """Workers seen at or after the given time."""
        return await self._workers.select({"seen_at": {"$gte": since_ms}})

    async def remove(self, worker_id: str) -> None:
        """Delete a worker's record."""
        await self._workers.delete({"_id": worker_id})
