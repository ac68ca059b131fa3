"""One collection of MongoDB behind its guard, and the conversion of records to documents and back.

It uses only what MongoDB 8, Amazon DocumentDB and the small server over SQLite have in common: string ids, times as
int64 milliseconds, single-document updates, plain and fully unique indexes.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from converto_core.errors import DuplicateKey, RecordUnreadable, StoreUnavailable
from converto_infra.mongo.client import CurrentCollection
from converto_infra.mongo.driver import Document, awaited
from converto_infra.resilience import Guard
from converto_infra.unreadable import UnreadableRecords

T = TypeVar("T")
Record = TypeVar("Record", bound=msgspec.Struct)

DUPLICATE_KEY = 11000  # the server's code
# What PyMongo 4.20 raises instead of a cancellation that arrives while it waits for a server under its own lock (before
# Python 3.12): it releases a lock that it does not hold. Nothing was sent.
CONFUSED_LOCK = ("Lock is not acquired", "cannot wait on un-acquired lock")


class Collection(Generic[Record]):
    """The records of one collection; raises only `DuplicateKey`, `RecordUnreadable` and `StoreUnavailable`."""

    def __init__(
        self,
        current: CurrentCollection,
        kind: type[Record],
        guard: Guard,
        unreadable: UnreadableRecords | None = None,
    ) -> None:
        """`current` is asked at each call, because the client may have been renewed."""
        self._current, self._kind, self._guard = current, kind, guard
        self._unreadable = unreadable or UnreadableRecords()

    async def insert(self, record: Record) -> None:
        """Insert a record; raises `DuplicateKey` when its id is taken."""
        await self.insert_document(document_of(record))

    async def insert_document(self, document: Document) -> None:
        await self._write(lambda: self._collection.insert_one(document))

    async def insert_many(self, records: Iterable[Record]) -> None:
        """Insert the records that do not exist yet; one that fails does not stop the others."""
        documents = [document_of(record) for record in records]
        with suppress(DuplicateKey):
            await self._write(lambda: self._collection.insert_many(documents, ordered=False))

    async def replace(self, record: Record, *, where: Document | None = None) -> bool:
        """Replace the record with this id if it matches `where`; without `where`, insert it when it is missing."""
        document = document_of(record)
        condition = {"_id": document["_id"], **(where or {})}
        found = await self._write(lambda: self._collection.replace_one(condition, document, upsert=where is None))
        return found.matched_count > 0

    async def update(self, where: Document, effects: Document) -> Record | None:
        """Update one record; returns it as it is afterwards, or None when none matches."""
        document = await self._write(
            lambda: self._collection.find_one_and_update(where, effects, return_document=ReturnDocument.AFTER)
        )
        return None if document is None else self._record(document)

    async def delete(self, where: Document) -> bool:
        found = await self._write(lambda: self._collection.delete_one(where))
        return found.deleted_count > 0

    async def delete_many(self, where: Document) -> int:
        """Delete all matching records; returns how many."""
        found = await self._write(lambda: self._collection.delete_many(where))
        return found.deleted_count

    async def get(self, record_id: str, *, owner: str | None = None) -> Record | None:
        """The record with this id, if it belongs to `owner` where one is given."""
        document = await self.get_document({"_id": record_id} if owner is None else {"_id": record_id, "owner": owner})
        return None if document is None else self._record(document)

    async def get_document(self, where: Document) -> Document | None:
        return await self._read(lambda: self._collection.find_one(where))

    async def get_many(self, ids: Sequence[str]) -> list[Record]:
        return await self.select({"_id": {"$in": list(ids)}}) if ids else []

    async def select(
        self, where: Document, *, oldest_by: str | None = None, newest_by: str | None = None, limit: int = 0
    ) -> list[Record]:
        """Matching records, ordered by at most one field; `limit` 0 means all.

        Records that cannot be read are left out, and others take their place: fewer than `limit` are all there are.
        """
        asked = limit
        while True:
            documents = await self.select_documents(where, oldest_by=oldest_by, newest_by=newest_by, limit=asked)
            found = [record for document in documents if (record := self._readable(document)) is not None]
            if not limit or len(found) >= limit or len(documents) < asked:
                return found[:limit] if limit else found
            asked *= 2

    async def select_documents(
        self, where: Document, *, oldest_by: str | None = None, newest_by: str | None = None, limit: int = 0
    ) -> list[Document]:
        """Like `select`, for readers that must get along with records of a newer version."""
        field, direction = (oldest_by, ASCENDING) if newest_by is None else (newest_by, DESCENDING)

        def find() -> Awaitable[list[Document]]:
            cursor = self._collection.find(where)
            return (cursor.sort(field, direction) if field else cursor).limit(limit).to_list()

        return await self._read(find)

    async def has_at_least(self, number: int, where: Document, *, order: str) -> bool:
        """True when at least this many records match; walks along the index on `order`, no further than needed."""

        def find() -> Awaitable[list[Document]]:
            cursor = self._collection.find(where).sort(order, DESCENDING)
            return cursor.skip(number - 1).limit(1).to_list()

        return bool(await self._read(find))

    async def count_by(self, field: str, where: Document) -> dict[str, int]:
        """The number of matching records for each value of a field."""
        stages: list[Document] = [{"$match": where}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}]

        async def count() -> list[Document]:
            cursor = await awaited(self._collection.aggregate(stages))
            return await cursor.to_list()

        return {row["_id"]: row["count"] for row in await self._read(count)}

    async def ensure_index(self, *fields: tuple[str, int]) -> None:
        await self._write(lambda: self._collection.create_index(list(fields)))

    def _readable(self, document: Document) -> Record | None:
        """The record, None if it cannot be read, which is noted."""
        try:
            return self._record(document)
        except RecordUnreadable:
            return None

    def _record(self, document: Document) -> Record:
        kind, record_id = self._kind.__name__.lower(), str(document.get("_id"))
        try:
            record = record_of(document, self._kind)
        except msgspec.ValidationError as error:
            self._unreadable.add(kind, record_id, str(error))
            raise RecordUnreadable(detail=f"{kind} {record_id}: {error}") from error
        self._unreadable.discard(kind, record_id)
        return record

    @property
    def _collection(self) -> AsyncCollection[Document]:
        return self._current()

    async def _read(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._guard.run_repeatable(lambda: translating(call))

    async def _write(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._guard.run(lambda: translating(call))


async def translating(call: Callable[[], Awaitable[T]]) -> T:
    """Await a driver call and translate its errors."""
    with translated():
        return await call()


@contextmanager
def translated() -> Iterator[None]:
    """Translate driver errors to `DuplicateKey` or `StoreUnavailable`; a bug in our own code passes unchanged."""
    try:
        yield
    except DuplicateKeyError as error:
        raise DuplicateKey(detail=str(error)) from error
    except BulkWriteError as error:
        codes = {found.get("code") for found in error.details.get("writeErrors", ())}
        kind = DuplicateKey if codes == {DUPLICATE_KEY} else StoreUnavailable
        raise kind(detail=str(error)) from error
    except PyMongoError as error:
        raise StoreUnavailable(detail=f"{type(error).__name__}: {error}") from error
    except RuntimeError as error:
        if str(error) not in CONFUSED_LOCK:
            raise
        lost = StoreUnavailable(detail=f"the driver lost its lock: {error}")
        lost.is_client_broken = True
        raise lost from error


def document_of(record: msgspec.Struct) -> Document:
    """A document from a record. It holds the id twice: the small server cannot index `_id` together with a field."""
    document: Document = msgspec.to_builtins(record, str_keys=True)
    return {"_id": document["id"], **document}


def record_of(document: Document, kind: type[Record]) -> Record:
    """A record from a document; ignores fields that a newer version has added.

    Not strict, because the small server returns a flag that an update has set as 0 or 1.
    """
    return msgspec.convert(document, kind, strict=False)


def plain(values: Mapping[str, Any]) -> Document:
    """Field values as they are stored."""
    stored: Document = msgspec.to_builtins(values, str_keys=True)
    return stored


def exactly(value: str | int | Enum) -> Document:
    """Equality that can use an index on every server; for fields that never hold an array.

    The small server takes a plain `{field: value}` to mean "or an array that contains this value" and scans the whole
    collection, unless the name of some index happens to end with the field. It does the same for `$in`.
    """
    return {"$eq": value.value if isinstance(value, Enum) else value}


def one_of(values: Iterable[Enum]) -> Document:
    """Any of these values."""
    return {"$in": [value.value for value in values]}


def between(from_ms: int, before_ms: int) -> Document:
    """A time at or after `from_ms` and before `before_ms`."""
    return {"$gte": from_ms, "$lt": before_ms}
