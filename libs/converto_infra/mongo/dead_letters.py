"""`DeadLetterStore` on MongoDB."""

from pymongo import ASCENDING, DESCENDING

from converto_core.dead_letters import DeadLetter
from converto_core.ports.dead_letters import DeadLetterFilter
from converto_infra.mongo.client import CurrentCollection
from converto_infra.mongo.collection import Collection
from converto_infra.mongo.driver import Document
from converto_infra.resilience import Guard
from converto_infra.unreadable import UnreadableRecords


class MongoDeadLetterStore:
    """`DeadLetterStore` on the collection `parked`."""

    def __init__(
        self, collection: CurrentCollection, guard: Guard, unreadable: UnreadableRecords | None = None
    ) -> None:
        self._dead_letters = Collection(collection, DeadLetter, guard, unreadable)

    async def ensure_indexes(self) -> None:
        """For the lists by reason and by conversion, and for deleting old records."""
        await self._dead_letters.ensure_index(("reason", ASCENDING), ("id", DESCENDING))
        await self._dead_letters.ensure_index(("conversion_id", ASCENDING), ("id", DESCENDING))
        await self._dead_letters.ensure_index(("stored_at", ASCENDING))

    async def insert(self, message: DeadLetter) -> None:
        """Store a new record durably; raises `DuplicateKey`."""
        await self._dead_letters.insert(message)

    async def get(self, message_id: str) -> DeadLetter | None:
        """The record, or None."""
        return await self._dead_letters.get(message_id)

    async def find(self, query: DeadLetterFilter) -> list[DeadLetter]:
        """Matching records, the most recent first, at most `query.limit`."""
        where: Document = {}
        if query.reason is not None:
            where["reason"] = query.reason.value
        if query.conversion_id is not None:
            where["conversion_id"] = query.conversion_id
        if query.after is not None:
            where["id"] = {"$lt": query.after}
        return await self._dead_letters.select(where, newest_by="id", limit=query.limit)

    async def delete(self, message_id: str) -> bool:
        """Delete a record; False when it does not exist."""
        return await self._dead_letters.delete({"_id": message_id})

    async def stored_before(self, before_ms: int, *, limit: int) -> list[DeadLetter]:
        """Records stored before the given time, oldest first."""
        return await self._dead_letters.select({"stored_at": {"$lt": before_ms}}, oldest_by="stored_at", limit=limit)
