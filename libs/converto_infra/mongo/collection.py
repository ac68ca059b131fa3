"""One collection of MongoDB behind its guard, and documents from structs and back. It knows no record and no rule.

It uses only what MongoDB 8, Amazon DocumentDB and the small server over SQLite do alike: string ids, times as int64
milliseconds, single-document updates, plain and fully unique indexes.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import msgspec
from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from converto_core.errors import DuplicateKey, StoreUnavailable
from converto_infra.mongo.driver import Document, awaited
from converto_infra.resilience import Guard

T = TypeVar("T")

DUPLICATE_KEY = 11000  # the server's code
# What PyMongo 4.20 says instead of a cancellation that comes while it waits for a server under its own lock (before
# Python 3.12): the lock is given back by who does not hold it. Nothing was sent.
CONFUSED_LOCK = ("Lock is not acquired", "cannot wait on un-acquired lock")


class Collection:
    """One collection behind the guard, in documents; every driver error leaves it as one of ours."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._collection, self._guard = collection, guard

    async def insert(self, document: Document) -> None:
        await self._write(lambda: self._collection.insert_one(document))

    async def replace(self, document: Document, *, where: Document | None = None) -> bool:
        """Replace the document with this id; without `where` it is stored even when it was not there."""
        found = await self._write(
            lambda: self._collection.replace_one(
                {"_id": document["_id"], **(where or {})}, document, upsert=where is None
            )
        )
        return found.matched_count > 0

    async def update(self, where: Document, effects: Document) -> Document | None:
        return await self._write(
            lambda: self._collection.find_one_and_update(where, effects, return_document=ReturnDocument.AFTER)
        )

    async def delete(self, where: Document) -> bool:
        found = await self._write(lambda: self._collection.delete_one(where))
        return found.deleted_count > 0

    async def insert_many(self, documents: list[Document]) -> None:
        """Store all that are not there yet, whatever becomes of each other one."""
        with suppress(DuplicateKey):
            await self._write(lambda: self._collection.insert_many(documents, ordered=False))

    async def delete_many(self, where: Document) -> int:
        """Remove all that match; how many."""
        found = await self._write(lambda: self._collection.delete_many(where))
        return found.deleted_count

    async def get(self, where: Document) -> Document | None:
        return await self._read(lambda: self._collection.find_one(where))

    async def select(
        self, where: Document, *, order: list[tuple[str, int]], limit: int = 0, skip: int = 0
    ) -> list[Document]:
        return await self._read(lambda: self._cursor(where, order, limit).skip(skip).to_list())

    async def get_many(self, ids: Sequence[str]) -> list[Document]:
        return await self.select({"_id": {"$in": list(ids)}}, order=[]) if ids else []

    async def count_by(self, field: str, where: Document) -> dict[str, int]:
        stages: list[Document] = [{"$match": where}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}]

        async def call() -> list[Document]:
            cursor = await awaited(self._collection.aggregate(stages))
            return await cursor.to_list()

        return {row["_id"]: row["count"] for row in await self._read(call)}

    async def ensure_index(self, *fields: tuple[str, int]) -> None:
        await self._write(lambda: self._collection.create_index(list(fields)))

    def _cursor(self, where: Document, order: list[tuple[str, int]], limit: int) -> AsyncCursor[Document]:
        cursor = self._collection.find(where)
        return (cursor.sort(order) if order else cursor).limit(limit)

    async def _read(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._guard.run_repeatable(lambda: translating(call))

    async def _write(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._guard.run(lambda: translating(call))


async def translating(call: Callable[[], Awaitable[T]]) -> T:
    with translated():
        return await call()


@contextmanager
def translated() -> Iterator[None]:
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
        raise StoreUnavailable(detail=f"the driver lost its lock: {error}") from error


def plain(values: Mapping[str, Any]) -> Document:
    plain: Document = msgspec.to_builtins(values, str_keys=True)
    return plain


def document_of(record: msgspec.Struct) -> Document:
    """A document from a struct. It has the id twice: the small server cannot keep an index over `_id` and a field."""
    document: Document = msgspec.to_builtins(record, str_keys=True)
    return {"_id": document["id"], **document}


def exactly(value: Any) -> Document:
    """Equality that may use an index on every server; for fields that never hold an array.

    The small server takes a plain `{field: value}` to mean "or an array with this value in it" and reads the whole
    collection for it, unless the name of some index happens to end with the field. It does the same for `$in`.
    """
    return {"$eq": value}


def identity(record_id: str, owner: str | None) -> Document:
    return {"_id": record_id} if owner is None else {"_id": record_id, "owner": owner}


def record_of(document: Document, kind: type[T]) -> T:
    """A struct from a document; fields that a newer version has added are passed over.

    Not strict, because the small server hands a flag that was set by an update back as 0 or 1.
    """
    return msgspec.convert(document, kind, strict=False)


def record_or_none(document: Document | None, kind: type[T]) -> T | None:
    return None if document is None else record_of(document, kind)
