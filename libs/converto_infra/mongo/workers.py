"""`WorkerStore` on MongoDB."""

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from converto_core.catalogue import Worker
from converto_infra.mongo.collection import Collection, document_of, record_of
from converto_infra.mongo.driver import Document
from converto_infra.resilience import Guard


class MongoWorkerStore:
    """`WorkerStore` on the collection `workers`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._workers = Collection(collection, guard)

    async def ensure_indexes(self) -> None:
        """For the question who is alive."""
        await self._workers.ensure_index(("seen_at", ASCENDING))

    async def put(self, worker: Worker) -> None:
        """Store the whole record, replacing what was there."""
        await self._workers.replace(document_of(worker))

    async def seen_since(self, since_ms: int) -> list[Worker]:
        """Workers heard of at or after the given time."""
        found = await self._workers.select({"seen_at": {"$gte": since_ms}}, order=[])
        return [record_of(document, Worker) for document in found]

    async def remove(self, worker_id: str) -> None:
        """Forget a worker."""
        await self._workers.delete({"_id": worker_id})
