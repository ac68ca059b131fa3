"""`ConversionStore` on MongoDB. It knows no rule of the state machine: conditions and effects come as a `Change`."""

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from converto_core.changes import Change
from converto_core.conversion import TERMINAL, Conversion, Status
from converto_core.ports import ConversionFilter
from converto_infra.mongo_collection import (
    Collection,
    Document,
    document_of,
    identity,
    plain,
    record_of,
    record_or_none,
)
from converto_infra.resilience import Guard


class MongoConversionStore:
    """`ConversionStore` on the collection `conversions`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._conversions = Collection(collection, guard)

    async def ensure_indexes(self) -> None:
        """One index for each question that is asked often (behaviour I3)."""
        for fields in (
            (("owner", ASCENDING), ("id", DESCENDING)),
            (("owner", ASCENDING), ("client_id", ASCENDING)),
            (("status", ASCENDING), ("publish_due", ASCENDING)),
            (("status", ASCENDING), ("created_at", ASCENDING)),
            (("waits_for", ASCENDING), ("id", ASCENDING)),
            (("file_id", ASCENDING), ("target_format", ASCENDING)),
            (("source_format", ASCENDING), ("target_format", ASCENDING), ("status", ASCENDING)),
        ):
            await self._conversions.ensure_index(*fields)

    async def insert(self, conversion: Conversion) -> None:
        """Store a new record durably; raises `DuplicateKey`."""
        await self._conversions.insert(document_of(conversion))

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it is not there or not this owner's."""
        return record_or_none(await self._conversions.get(identity(conversion_id, owner)), Conversion)

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Newest first, at most `query.limit`."""
        where: Document = {
            name: value
            for name in ("owner", "client_id", "file_id", "source_format", "target_format")
            if (value := getattr(query, name))
        }
        if query.statuses:
            where["status"] = {"$in": [status.value for status in query.statuses]}
        if query.after is not None:
            where["id"] = {"$lt": query.after}
        return await self._select(where, order=[("id", DESCENDING)], limit=query.limit)

    async def apply(self, change: Change) -> Conversion | None:
        """Apply one conditional update; the record after it, or None when a condition did not hold."""
        where = {
            **plain(change.where),
            "_id": change.id,
            "status": {"$in": [status.value for status in change.expected]},
        }
        effects: Document = {"$set": {**plain(change.assign), "status": change.to.value}}
        if change.increase:
            effects["$inc"] = dict(change.increase)
        if change.raise_to:
            effects["$max"] = dict(change.raise_to)
        return record_or_none(await self._conversions.update(where, effects), Conversion)

    async def due(self, *, now_ms: int, limit: int) -> list[Conversion]:
        """Pending conversions whose wake-up is due, longest due first."""
        where = {"status": Status.PENDING.value, "publish_due": {"$lte": now_ms, "$gte": 0}}
        return await self._select(where, order=[("publish_due", ASCENDING)], limit=limit)

    async def processing(self, *, limit: int) -> list[Conversion]:
        """Conversions being processed."""
        return await self._select({"status": Status.PROCESSING.value}, order=[], limit=limit)

    async def awaiting_upload(self, *, created_before_ms: int, limit: int) -> list[Conversion]:
        """Conversions without bytes created before the given time, oldest first."""
        where = {"status": Status.AWAITING_UPLOAD.value, "created_at": {"$lt": created_before_ms}}
        return await self._select(where, order=[("created_at", ASCENDING)], limit=limit)

    async def waiting_for(self, cache_key: str, *, after: str | None, limit: int) -> list[Conversion]:
        """Pending conversions that wait for the result of this key, oldest first."""
        where: Document = {"waits_for": cache_key, "status": Status.PENDING.value}
        if after is not None:
            where["id"] = {"$gt": after}
        return await self._select(where, order=[("id", ASCENDING)], limit=limit)

    async def delete(self, conversion_id: str, *, owner: str) -> bool:
        """Remove a record in a terminal status."""
        ended = sorted(status.value for status in TERMINAL)
        return await self._conversions.delete({"_id": conversion_id, "owner": owner, "status": {"$in": ended}})

    async def count_by_status(self, *, owner: str | None = None) -> dict[Status, int]:
        """How many conversions are in each status."""
        counts = await self._conversions.count_by("status", {} if owner is None else {"owner": owner})
        return {Status(name): count for name, count in counts.items()}

    async def _select(self, where: Document, *, order: list[tuple[str, int]], limit: int) -> list[Conversion]:
        found = await self._conversions.select(where, order=order, limit=limit)
        return [record_of(document, Conversion) for document in found]
