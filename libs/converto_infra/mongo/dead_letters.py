"""`DeadLetterStore` on MongoDB."""

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from converto_core.dead_letters import DeadLetter
from converto_core.ports.dead_letters import DeadLetterFilter
from converto_infra.mongo.collection import Collection, Document, document_of, record_of, record_or_none
from converto_infra.resilience import Guard


class MongoDeadLetterStore:
    """`DeadLetterStore` on the collection `parked`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._parked = Collection(collection, guard)

    async def ensure_indexes(self) -> None:
        """For the lists by reason and by conversion, and for the sweep of old ones."""
        await self._parked.ensure_index(("reason", ASCENDING), ("id", DESCENDING))
        await self._parked.ensure_index(("conversion_id", ASCENDING), ("id", DESCENDING))
        await self._parked.ensure_index(("stored_at", ASCENDING))

    async def insert(self, message: DeadLetter) -> None:
        """Store a new record durably; raises `DuplicateKey`."""
        await self._parked.insert(document_of(message))

    async def get(self, message_id: str) -> DeadLetter | None:
        """The record, or None."""
        return record_or_none(await self._parked.get({"_id": message_id}), DeadLetter)

    async def find(self, query: DeadLetterFilter) -> list[DeadLetter]:
        """The last that died first, at most `query.limit`."""
        where: Document = {}
        if query.reason is not None:
            where["reason"] = query.reason.value
        if query.conversion_id is not None:
            where["conversion_id"] = query.conversion_id
        if query.after is not None:
            where["id"] = {"$lt": query.after}
        return await self._select(where, order=("id", DESCENDING), limit=query.limit)

    async def delete(self, message_id: str) -> bool:
        """Remove a record; False when it is not there."""
        return await self._parked.delete({"_id": message_id})

    async def stored_before(self, before_ms: int, *, limit: int) -> list[DeadLetter]:
        """Records that were stored before the given time, oldest first."""
        return await self._select({"stored_at": {"$lt": before_ms}}, order=("stored_at", ASCENDING), limit=limit)

    async def _select(self, where: Document, *, order: tuple[str, int], limit: int) -> list[DeadLetter]:
        found = await self._parked.select(where, order=[order], limit=limit)
        return [record_of(document, DeadLetter) for document in found]
