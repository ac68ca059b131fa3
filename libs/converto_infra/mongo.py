"""The stores on MongoDB, Amazon DocumentDB or a small server with their protocol; the only file that imports PyMongo.

It uses only what all three do alike: string ids, times as int64 milliseconds, single-document updates, plain and fully
unique indexes. It knows no rule of the state machine: conditions and effects come as a `Change`.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from converto_core.access import ApiKey, RememberedAnswer
from converto_core.catalogue import Worker
from converto_core.conversion import TERMINAL, Change, Conversion, Status
from converto_core.errors import DuplicateKey, StoreUnavailable
from converto_core.file import File, FileStatus
from converto_core.ports import ConversionFilter
from converto_infra.resilience import Guard, database_guard
from converto_infra.settings import Settings

Document = dict[str, Any]
T = TypeVar("T")

POOL_SIZE = 50
WARM_CONNECTIONS = 2  # opening a connection costs more than a call; a burst should not begin with it
CLAIM_ROUNDS = 3  # a reservation can vanish between insert and read; more often than this is no accident


class MongoStores:
    """The four stores of one database, behind one guard."""

    def __init__(self, client: AsyncMongoClient[Document], settings: Settings) -> None:
        self._client = client
        self._database: AsyncDatabase[Document] = client[settings.mongodb_database]
        self.guard = database_guard(settings)
        self.conversions = MongoConversionStore(self._database["conversions"], self.guard)
        self.files = MongoFileStore(self._database["files"], self.guard)
        self.workers = MongoWorkerStore(self._database["workers"], self.guard)
        self.access = MongoAccessStore(self._database["api_keys"], self._database["idempotency"], self.guard)

    @classmethod
    def connect(cls, settings: Settings) -> "MongoStores":
        """Make the client; it opens connections when they are first needed and again after the server was away."""
        timeout_ms = int(settings.mongodb_timeout_s * 1000)
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            settings.mongodb_url.get_secret_value(),
            retryWrites=settings.mongodb_retry_writes,
            retryReads=False,  # the guard repeats reads; one retry inside another multiplies the wait
            w="majority",
            journal=True,
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=timeout_ms,
            waitQueueTimeoutMS=timeout_ms,
            maxPoolSize=POOL_SIZE,
            minPoolSize=WARM_CONNECTIONS,
            appname="converto",
        )
        return cls(client, settings)

    async def ping(self) -> None:
        """Raise `StoreUnavailable` unless the database answers."""

        async def call() -> None:
            with _translated():
                await self._database.command("ping")

        await self.guard.run(call)

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing; safe to repeat."""
        await self.conversions.ensure_indexes()
        await self.files.ensure_indexes()
        await self.workers.ensure_indexes()

    async def close(self) -> None:
        """End all connections."""
        await self._client.close()


class _Collection:
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

    async def get(self, where: Document) -> Document | None:
        return await self._read(lambda: self._collection.find_one(where))

    async def select(self, where: Document, *, order: list[tuple[str, int]], limit: int = 0) -> list[Document]:
        return await self._read(lambda: self._cursor(where, order, limit).to_list())

    async def count_by(self, field: str, where: Document) -> dict[str, int]:
        stages: list[Document] = [{"$match": where}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}]

        async def call() -> list[Document]:
            cursor = await self._collection.aggregate(stages)
            return await cursor.to_list()

        return {row["_id"]: row["count"] for row in await self._read(call)}

    async def ensure_index(self, *fields: tuple[str, int]) -> None:
        await self._write(lambda: self._collection.create_index(list(fields)))

    def _cursor(self, where: Document, order: list[tuple[str, int]], limit: int) -> AsyncCursor[Document]:
        cursor = self._collection.find(where)
        return (cursor.sort(order) if order else cursor).limit(limit)

    async def _read(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._guard.run_repeatable(lambda: _translating(call))

    async def _write(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._guard.run(lambda: _translating(call))


class MongoConversionStore:
    """`ConversionStore` on the collection `conversions`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._conversions = _Collection(collection, guard)

    async def ensure_indexes(self) -> None:
        """One index for each question that is asked often (behaviour I3)."""
        for fields in (
            (("owner", ASCENDING), ("id", DESCENDING)),
            (("owner", ASCENDING), ("client_id", ASCENDING)),
            (("status", ASCENDING), ("publish_due", ASCENDING)),
            (("status", ASCENDING), ("created_at", ASCENDING)),
            (("file_id", ASCENDING), ("target_format", ASCENDING)),
            (("source_format", ASCENDING), ("target_format", ASCENDING), ("status", ASCENDING)),
        ):
            await self._conversions.ensure_index(*fields)

    async def insert(self, conversion: Conversion) -> None:
        """Store a new record durably; raises `DuplicateKey`."""
        await self._conversions.insert(_document(conversion))

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it is not there or not this owner's."""
        return _record_or_none(await self._conversions.get(_identity(conversion_id, owner)), Conversion)

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
            **_plain(change.where),
            "_id": change.id,
            "status": {"$in": [status.value for status in change.expected]},
        }
        effects: Document = {"$set": {**_plain(change.assign), "status": change.to.value}}
        if change.increase:
            effects["$inc"] = dict(change.increase)
        if change.raise_to:
            effects["$max"] = dict(change.raise_to)
        return _record_or_none(await self._conversions.update(where, effects), Conversion)

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
        return [_record(document, Conversion) for document in found]


class MongoFileStore:
    """`FileStore` on the collection `files`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._files = _Collection(collection, guard)

    async def ensure_indexes(self) -> None:
        """For the owner's list and for the sweep of abandoned uploads."""
        await self._files.ensure_index(("owner", ASCENDING), ("id", DESCENDING))
        await self._files.ensure_index(("status", ASCENDING), ("created_at", ASCENDING))

    async def insert(self, file: File) -> None:
        """Store a new record durably; raises `DuplicateKey`."""
        await self._files.insert(_document(file))

    async def get(self, file_id: str, *, owner: str | None = None) -> File | None:
        """The record, or None when it is not there or not this owner's."""
        return _record_or_none(await self._files.get(_identity(file_id, owner)), File)

    async def update(
        self, file_id: str, *, version: int, expected: Iterable[FileStatus], assign: dict[str, Any]
    ) -> File | None:
        """Set fields if version and status are as expected."""
        where = {"_id": file_id, "version": version, "status": {"$in": [status.value for status in expected]}}
        return _record_or_none(await self._files.update(where, {"$set": _plain(assign)}), File)

    async def find(self, *, owner: str, after: str | None, limit: int) -> list[File]:
        """Files that are not deleted, newest first."""
        alive = [FileStatus.AWAITING_UPLOAD.value, FileStatus.UPLOADED.value]
        where: Document = {"owner": owner, "status": {"$in": alive}}
        if after is not None:
            where["id"] = {"$lt": after}
        found = await self._files.select(where, order=[("id", DESCENDING)], limit=limit)
        return [_record(document, File) for document in found]

    async def abandoned(self, *, created_before_ms: int, limit: int) -> list[File]:
        """Files still awaiting their upload, oldest first."""
        where = {"status": FileStatus.AWAITING_UPLOAD.value, "created_at": {"$lt": created_before_ms}}
        found = await self._files.select(where, order=[("created_at", ASCENDING)], limit=limit)
        return [_record(document, File) for document in found]


class MongoWorkerStore:
    """`WorkerStore` on the collection `workers`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._workers = _Collection(collection, guard)

    async def ensure_indexes(self) -> None:
        """For the question who is alive."""
        await self._workers.ensure_index(("seen_at", ASCENDING))

    async def put(self, worker: Worker) -> None:
        """Store the whole record, replacing what was there."""
        await self._workers.replace(_document(worker))

    async def seen_since(self, since_ms: int) -> list[Worker]:
        """Workers heard of at or after the given time."""
        found = await self._workers.select({"seen_at": {"$gte": since_ms}}, order=[])
        return [_record(document, Worker) for document in found]

    async def remove(self, worker_id: str) -> None:
        """Forget a worker."""
        await self._workers.delete({"_id": worker_id})


class MongoAccessStore:
    """`AccessStore` on the collections `api_keys` and `idempotency`."""

    def __init__(self, keys: AsyncCollection[Document], answers: AsyncCollection[Document], guard: Guard) -> None:
        self._keys, self._answers = _Collection(keys, guard), _Collection(answers, guard)

    async def put_key(self, key: ApiKey) -> None:
        """Store a key, replacing one with the same id."""
        await self._keys.replace(_document(key))

    async def get_key(self, key_id: str) -> ApiKey | None:
        """The key, or None."""
        return _record_or_none(await self._keys.get({"_id": key_id}), ApiKey)

    async def claim_answer(self, answer: RememberedAnswer, *, stale_before_ms: int) -> RememberedAnswer | None:
        """Reserve an idempotency key: None when it is now ours, otherwise what is remembered for it."""
        for _ in range(CLAIM_ROUNDS):
            if await self._reserve(answer):
                return None
            known = _record_or_none(await self._answers.get({"_id": answer.id}), RememberedAnswer)
            if known is not None and not known.is_given_up(now_ms=answer.claimed_at, stale_before_ms=stale_before_ms):
                return known
            if known is not None and await self._take_over(known, answer):
                return None
        raise StoreUnavailable(detail=f"reservation {answer.id} changes too fast")

    async def remember_answer(self, answer: RememberedAnswer) -> None:
        """Store the finished answer."""
        await self._answers.replace(_document(answer))

    async def forget_answer(self, answer_id: str) -> None:
        """Give a reservation back."""
        await self._answers.delete({"_id": answer_id})

    async def _reserve(self, answer: RememberedAnswer) -> bool:
        try:
            await self._answers.insert(_document(answer))
        except DuplicateKey:
            return False
        return True

    async def _take_over(self, known: RememberedAnswer, answer: RememberedAnswer) -> bool:
        unchanged = {"claimed_at": known.claimed_at, "status": known.status}
        return await self._answers.replace(_document(answer), where=unchanged)


async def _translating(call: Callable[[], Awaitable[T]]) -> T:
    with _translated():
        return await call()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DuplicateKeyError as error:
        raise DuplicateKey(detail=str(error)) from error
    except PyMongoError as error:
        raise StoreUnavailable(detail=f"{type(error).__name__}: {error}") from error


def _plain(values: Mapping[str, Any]) -> Document:
    plain: Document = msgspec.to_builtins(values, str_keys=True)
    return plain


def _document(record: msgspec.Struct) -> Document:
    """A document from a struct. It has the id twice: the small server cannot keep an index over `_id` and a field."""
    document: Document = msgspec.to_builtins(record, str_keys=True)
    return {"_id": document["id"], **document}


def _identity(record_id: str, owner: str | None) -> Document:
    return {"_id": record_id} if owner is None else {"_id": record_id, "owner": owner}


def _record(document: Document, kind: type[T]) -> T:
    """A struct from a document; fields that a newer version has added are passed over.

    Not strict, because the small server hands a flag that was set by an update back as 0 or 1.
    """
    return msgspec.convert(document, kind, strict=False)


def _record_or_none(document: Document | None, kind: type[T]) -> T | None:
    return None if document is None else _record(document, kind)
