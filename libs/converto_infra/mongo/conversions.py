"""`ConversionStore` on MongoDB; a `Change` carries the conditions and effects of each update."""

from collections.abc import Iterable, Sequence
from itertools import chain

from pymongo import ASCENDING

from converto_core.conversion.change import Change
from converto_core.conversion.history import entry_of
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.formats import Family
from converto_core.ports.stores import ConversionFilter, HistoryStore
from converto_infra.mongo.client import CurrentCollection
from converto_infra.mongo.collection import Collection, between, exactly, one_of, plain
from converto_infra.mongo.driver import Document
from converto_infra.resilience import Guard
from converto_infra.unreadable import UnreadableRecords

KNOWN_STATUSES = frozenset(status.value for status in Status)
"""A newer version may have added others."""


class MongoConversionStore:
    """`ConversionStore` on the collection `conversions`."""

    def __init__(
        self,
        collection: CurrentCollection,
        guard: Guard,
        history: HistoryStore,
        *,
        unreadable: UnreadableRecords | None = None,
    ) -> None:
        """`history` records each change that has an event."""
        self._conversions = Collection(collection, Conversion, guard, unreadable)
        self._history = history

    async def ensure_indexes(self) -> None:
        """One index for each frequent query (behaviour I3)."""
        for fields in (
            ("owner", "id"),
            ("owner", "status", "id"),
            ("owner", "client_id", "id"),
            ("owner", "client_id", "status", "id"),
            ("owner", "target_format", "id"),
            ("status", "id"),
            ("status", "publish_due"),
            ("status", "published", "publish_due"),
            ("status", "created_at"),
            ("status", "family", "lane"),
            ("status", "completed_at"),
            ("waits_for", "id"),
            ("file_id", "target_format"),
            ("source_format", "target_format", "status", "id"),
        ):
            await self._conversions.ensure_index(*((field, ASCENDING) for field in fields))

    async def insert(self, conversion: Conversion) -> None:
        """Store a new record durably; raises `DuplicateKey`."""
        await self._conversions.insert(conversion)

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it does not exist or belongs to another owner."""
        return await self._conversions.get(conversion_id, owner=owner)

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Matching conversions, newest first, at most `query.limit`."""
        where = _condition(query)
        if query.after is not None:
            where["id"] = {"$lt": query.after}
        if query.file_id or not query.statuses:
            return await self._newest(where, query.limit)
        # One query per status, because each is a short walk along an index; `$in` walks past everything that waits.
        found = [
            await self._newest({**where, "status": exactly(status)}, query.limit)
            for status in dict.fromkeys(query.statuses)
        ]
        return sorted(chain.from_iterable(found), key=lambda one: one.id, reverse=True)[: query.limit]

    async def apply(self, change: Change) -> Conversion | None:
        """Apply one conditional update; the record after it, or None when a condition did not hold."""
        where = {**plain(change.where), "_id": change.id, "status": one_of(change.expected)}
        effects: Document = {"$set": {**plain(change.assign), "status": change.to.value}}
        if change.increase:
            effects["$inc"] = dict(change.increase)
        if change.raise_to:
            effects["$max"] = dict(change.raise_to)
        after = await self._conversions.update(where, effects)
        if after is not None and change.event is not None:
            self._history.record(entry_of(after))
        return after

    async def due(self, *, now_ms: int, limit: int) -> list[Conversion]:
        """Pending conversions whose `publish_due` has passed, longest overdue first."""
        where = {"status": exactly(Status.PENDING), "publish_due": {"$lte": now_ms, "$gte": 0}}
        return await self._conversions.select(where, oldest_by="publish_due", limit=limit)

    async def due_after(self, after_ms: int, *, published: int | None = None, limit: int) -> list[Conversion]:
        """Pending conversions whose `publish_due` is later, with so many confirmed messages (None: any number)."""
        where: Document = {"status": exactly(Status.PENDING), "publish_due": {"$gt": after_ms}}
        if published is not None:
            where["published"] = exactly(published)
        return await self._conversions.select(where, limit=limit)

    async def published(
        self,
        family: Family | None,
        lane: Lane | None,
        *,
        changed_before_ms: int,
        limit: int,
        changed_from_ms: int = 0,
    ) -> list[Conversion]:
        """Pending conversions of one queue (None: any) with a confirmed message, last changed within this period."""
        queue = {name: exactly(value) for name, value in (("family", family), ("lane", lane)) if value is not None}
        unchanged = {"published": {"$gte": 1}, "updated_at": between(changed_from_ms, changed_before_ms)}
        where: Document = {"status": exactly(Status.PENDING), **queue, **unchanged}
        return await self._conversions.select(where, limit=limit)

    async def processing(self, *, limit: int) -> list[Conversion]:
        """Conversions in status `processing`."""
        return await self._conversions.select({"status": exactly(Status.PROCESSING)}, limit=limit)

    async def awaiting_upload(
        self, *, created_before_ms: int, limit: int, created_from_ms: int = 0
    ) -> list[Conversion]:
        """Conversions in status `awaiting_upload` created within this period, oldest first."""
        created = between(created_from_ms, created_before_ms)
        where = {"status": exactly(Status.AWAITING_UPLOAD), "created_at": created}
        return await self._conversions.select(where, oldest_by="created_at", limit=limit)

    async def ended(
        self, status: Status, *, from_ms: int, before_ms: int, limit: int, error_code: str | None = None
    ) -> list[Conversion]:
        """Conversions of a terminal status whose `completed_at` is within this period, oldest first."""
        where: Document = {"status": exactly(status), "completed_at": between(from_ms, before_ms)}
        if error_code is not None:
            where["error_code"] = error_code
        return await self._conversions.select(where, oldest_by="completed_at", limit=limit)

    async def get_many(self, conversion_ids: Sequence[str]) -> list[Conversion]:
        """The existing records among these ids."""
        return await self._conversions.get_many(conversion_ids)

    async def count_by_file(self, file_ids: Sequence[str], statuses: Iterable[Status]) -> dict[str, int]:
        """How many conversions in these statuses each file has."""
        if not file_ids:
            return {}
        where = {"file_id": {"$in": list(file_ids)}, "status": one_of(statuses)}
        return await self._conversions.count_by("file_id", where)

    async def has_pending(self, owner: str, *, at_least: int) -> bool:
        """True when the owner has at least this many pending conversions."""
        # Counting would read on to the end, and the small server counts by reading every document into its own
        # process: 100,000 of them silence it for many seconds.
        where = {"owner": exactly(owner), "status": exactly(Status.PENDING)}
        return await self._conversions.has_at_least(at_least, where, order="id")

    async def waiting_for(self, cache_key: str, *, after: str | None, limit: int) -> list[Conversion]:
        """Pending conversions that wait for the result of this cache key, oldest first."""
        where: Document = {"waits_for": exactly(cache_key), "status": exactly(Status.PENDING)}
        if after is not None:
            where["id"] = {"$gt": after}
        return await self._conversions.select(where, oldest_by="id", limit=limit)

    async def delete_unchanged(self, conversion: Conversion) -> bool:
        """Delete a record in a terminal status unless it has changed since it was read."""
        if not conversion.is_terminal:
            return False
        seen = {"status": conversion.status.value, "token": conversion.token, "updated_at": conversion.updated_at}
        return await self._conversions.delete({"_id": conversion.id, **seen})

    async def count_by_status(self, *, owner: str | None = None) -> dict[Status, int]:
        """How many conversions each status has."""
        counts = await self._conversions.count_by("status", {} if owner is None else {"owner": exactly(owner)})
        return {Status(name): count for name, count in counts.items() if name in KNOWN_STATUSES}

    async def _newest(self, where: Document, limit: int) -> list[Conversion]:
        return await self._conversions.select(where, newest_by="id", limit=limit)


def _condition(query: ConversionFilter) -> Document:
    """The fields of the query. A file has few conversions, so a query for one file needs no other index."""
    names = ("owner", "client_id", "file_id", "source_format", "target_format")
    named = {name: value for name in names if (value := getattr(query, name))}
    if not query.file_id:
        return {name: exactly(value) for name, value in named.items()}
    if query.statuses:
        named["status"] = one_of(query.statuses)
    return {**named, "file_id": exactly(query.file_id)}
