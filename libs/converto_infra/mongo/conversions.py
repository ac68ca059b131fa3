"""`ConversionStore` on MongoDB. It knows no rule of the state machine: conditions and effects come as a `Change`."""

from collections.abc import Iterable, Sequence
from itertools import chain

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from converto_core.conversion.change import Change
from converto_core.conversion.history import entry_of
from converto_core.conversion.record import TERMINAL, Conversion, Lane, Status
from converto_core.formats import Family
from converto_core.ports.stores import ConversionFilter, HistoryStore
from converto_infra.mongo.collection import (
    Collection,
    Document,
    document_of,
    exactly,
    identity,
    plain,
    record_of,
    record_or_none,
)
from converto_infra.resilience import Guard


class MongoConversionStore:
    """`ConversionStore` on the collection `conversions`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard, history: HistoryStore) -> None:
        """`history` hears of each change with an event."""
        self._conversions = Collection(collection, guard)
        self._history = history

    async def ensure_indexes(self) -> None:
        """One index for each question that is asked often (behaviour I3)."""
        for fields in (
            ("owner", "id"),
            ("owner", "status", "id"),
            ("owner", "client_id", "id"),
            ("owner", "client_id", "status", "id"),
            ("owner", "target_format", "id"),
            ("status", "id"),
            ("status", "publish_due"),
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
        await self._conversions.insert(document_of(conversion))

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it is not there or not this owner's."""
        return record_or_none(await self._conversions.get(identity(conversion_id, owner)), Conversion)

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Newest first, at most `query.limit`."""
        where = _named(query)
        if query.after is not None:
            where["id"] = {"$lt": query.after}
        if query.file_id or not query.statuses:
            return await self._newest(where, query.limit)
        # One question for each status, because each is then a short walk along an index; with `$in` it is a walk past
        # everything that waits.
        found = [
            await self._newest({**where, "status": exactly(status.value)}, query.limit)
            for status in dict.fromkeys(query.statuses)
        ]
        return sorted(chain.from_iterable(found), key=lambda one: one.id, reverse=True)[: query.limit]

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
        after = record_or_none(await self._conversions.update(where, effects), Conversion)
        if after is not None and change.event is not None:
            self._history.record(entry_of(after))
        return after

    async def due(self, *, now_ms: int, limit: int) -> list[Conversion]:
        """Pending conversions whose wake-up is due, longest due first."""
        where = {"status": exactly(Status.PENDING.value), "publish_due": {"$lte": now_ms, "$gte": 0}}
        return await self._select(where, order=[("publish_due", ASCENDING)], limit=limit)

    async def published(
        self, family: Family | None, lane: Lane | None, *, changed_before_ms: int, limit: int
    ) -> list[Conversion]:
        """Pending conversions of one queue (None: of any) whose wake-up was confirmed."""
        queue = {name: exactly(one.value) for name, one in (("family", family), ("lane", lane)) if one is not None}
        lasting = {"published": {"$gte": 1}, "updated_at": {"$lt": changed_before_ms}}
        where: Document = {"status": exactly(Status.PENDING.value), **queue, **lasting}
        return await self._select(where, order=[], limit=limit)

    async def processing(self, *, limit: int) -> list[Conversion]:
        """Conversions being processed."""
        return await self._select({"status": exactly(Status.PROCESSING.value)}, order=[], limit=limit)

    async def awaiting_upload(
        self, *, created_before_ms: int, limit: int, created_from_ms: int = 0
    ) -> list[Conversion]:
        """Conversions without bytes created in this time, oldest first."""
        created = {"$gte": created_from_ms, "$lt": created_before_ms}
        where = {"status": exactly(Status.AWAITING_UPLOAD.value), "created_at": created}
        return await self._select(where, order=[("created_at", ASCENDING)], limit=limit)

    async def ended(
        self, status: Status, *, from_ms: int, before_ms: int, limit: int, error_code: str | None = None
    ) -> list[Conversion]:
        """Conversions of a terminal status whose `completed_at` lies in this time, oldest first."""
        where: Document = {"status": exactly(status.value), "completed_at": {"$gte": from_ms, "$lt": before_ms}}
        if error_code is not None:
            where["error_code"] = error_code
        return await self._select(where, order=[("completed_at", ASCENDING)], limit=limit)

    async def get_many(self, conversion_ids: Sequence[str]) -> list[Conversion]:
        """Those of these records that are there."""
        return [record_of(document, Conversion) for document in await self._conversions.get_many(conversion_ids)]

    async def count_by_file(self, file_ids: Sequence[str], statuses: Iterable[Status]) -> dict[str, int]:
        """How many conversions in these statuses each of these files has."""
        if not file_ids:
            return {}
        where = {"file_id": {"$in": list(file_ids)}, "status": {"$in": [status.value for status in statuses]}}
        return await self._conversions.count_by("file_id", where)

    async def has_pending(self, owner: str, *, at_least: int) -> bool:
        """True when this many conversions of an owner, or more, wait for a worker."""
        # A walk along the index to the last of them. Counting would go on to the end, and the small server counts by
        # reading every document into its own program: 100,000 of them silence it for many seconds.
        where = {"owner": exactly(owner), "status": exactly(Status.PENDING.value)}
        order = [("id", DESCENDING)]
        return bool(await self._conversions.select(where, order=order, limit=1, skip=at_least - 1))

    async def waiting_for(self, cache_key: str, *, after: str | None, limit: int) -> list[Conversion]:
        """Pending conversions that wait for the result of this key, oldest first."""
        where: Document = {"waits_for": exactly(cache_key), "status": exactly(Status.PENDING.value)}
        if after is not None:
            where["id"] = {"$gt": after}
        return await self._select(where, order=[("id", ASCENDING)], limit=limit)

    async def delete(self, conversion_id: str, *, owner: str) -> bool:
        """Remove a record in a terminal status."""
        ended = sorted(status.value for status in TERMINAL)
        return await self._conversions.delete({"_id": conversion_id, "owner": owner, "status": {"$in": ended}})

    async def delete_unchanged(self, conversion: Conversion) -> bool:
        """Remove a record in a terminal status if nothing has happened to it since it was read."""
        if not conversion.is_terminal:
            return False
        seen = {"status": conversion.status.value, "token": conversion.token, "updated_at": conversion.updated_at}
        return await self._conversions.delete({"_id": conversion.id, **seen})

    async def count_by_status(self, *, owner: str | None = None) -> dict[Status, int]:
        """How many conversions are in each status."""
        counts = await self._conversions.count_by("status", {} if owner is None else {"owner": exactly(owner)})
        return {Status(name): count for name, count in counts.items()}

    async def _newest(self, where: Document, limit: int) -> list[Conversion]:
        return await self._select(where, order=[("id", DESCENDING)], limit=limit)

    async def _select(self, where: Document, *, order: list[tuple[str, int]], limit: int) -> list[Conversion]:
        found = await self._conversions.select(where, order=order, limit=limit)
        return [record_of(document, Conversion) for document in found]


def _named(query: ConversionFilter) -> Document:
    """What the query names. A file has few conversions, so where one is named nothing else has to use an index."""
    names = ("owner", "client_id", "file_id", "source_format", "target_format")
    named = {name: value for name in names if (value := getattr(query, name))}
    if not query.file_id:
        return {name: exactly(value) for name, value in named.items()}
    if query.statuses:
        named["status"] = {"$in": [status.value for status in query.statuses]}
    return {**named, "file_id": exactly(query.file_id)}
