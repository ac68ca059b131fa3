"""`AgedRecords` on any collection of MongoDB."""

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING

from converto_core.ports.stores import AgedRecord
from converto_infra.mongo.collection import Collection, between


class MongoAgedRecords:
    """`AgedRecords` on one collection; the retention period starts at the field `since` (int64 ms)."""

    def __init__(self, collection: Collection[Any], *, since: str) -> None:
        self._collection, self._since = collection, since

    async def ensure_indexes(self) -> None:
        """For finding the oldest records."""
        await self._collection.ensure_index((self._since, ASCENDING))

    async def older_than(self, *, from_ms: int, before_ms: int, limit: int) -> list[AgedRecord]:
        """Records dated within this period, oldest first."""
        where = {self._since: between(from_ms, before_ms)}
        found = await self._collection.select_documents(where, oldest_by=self._since, limit=limit)
        return [AgedRecord(id=document["_id"], since=document[self._since]) for document in found]

    async def delete_older(self, ids: Sequence[str], *, before_ms: int) -> int:
        """Delete those of these records that are still older than `before_ms`; returns how many."""
        return await self._collection.delete_many({"_id": {"$in": list(ids)}, self._since: {"$lt": before_ms}})
