"""`AgedRecords` on any collection of MongoDB: what has only to go when it is old enough. It knows no kind of record."""

from collections.abc import Sequence

from pymongo import ASCENDING

from converto_core.ports.stores import AgedRecord
from converto_infra.mongo.collection import Collection


class MongoAgedRecords:
    """`AgedRecords` on one collection; `since` is the field (int64 ms) from which the retention counts."""

    def __init__(self, collection: Collection, *, since: str) -> None:
        self._collection, self._since = collection, since

    async def ensure_indexes(self) -> None:
        """For the question what is oldest."""
        await self._collection.ensure_index((self._since, ASCENDING))

    async def older_than(self, *, from_ms: int, before_ms: int, limit: int) -> list[AgedRecord]:
        """Those whose time lies in this time, oldest first."""
        where = {self._since: {"$gte": from_ms, "$lt": before_ms}}
        found = await self._collection.select(where, order=[(self._since, ASCENDING)], limit=limit)
        return [AgedRecord(id=document["_id"], since=document[self._since]) for document in found]

    async def delete_older(self, ids: Sequence[str], *, before_ms: int) -> int:
        """Remove those of these records that are still older than the given time."""
        return await self._collection.delete_many({"_id": {"$in": list(ids)}, self._since: {"$lt": before_ms}})
