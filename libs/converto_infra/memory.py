"""In-memory twins of the database ports, for unit tests and for trying things out; nothing survives the process.

They keep plain documents, as a database does, and hold the same conditions as the Mongo adapter: one contract suite
runs on both. `is_away` makes every call fail as if the server were gone. The twins of the object store and the bus
live in files of their own and are offered here too.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from converto_core.access import ApiKey, RememberedAnswer
from converto_core.catalogue import Worker
from converto_core.conversion import TERMINAL, Change, Conversion, Status
from converto_core.errors import DuplicateKey, StoreUnavailable
from converto_core.file import File, FileStatus
from converto_core.ports import ConversionFilter
from converto_infra.memory_bus import MemoryEventBus
from converto_infra.memory_objects import MemoryObjectStore

__all__ = ["MemoryEventBus", "MemoryObjectStore", "MemoryStores"]

Document = dict[str, Any]


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


Record = TypeVar("Record", bound=_Identified)


class MemoryStores:
    """The four stores of one database that lives in this process."""

    def __init__(self) -> None:
        self.is_away = False
        self.conversions = MemoryConversionStore(self)
        self.files = MemoryFileStore(self)
        self.workers = MemoryWorkerStore(self)
        self.access = MemoryAccessStore(self)

    async def ping(self) -> None:
        """Raise `StoreUnavailable` while `is_away` is set."""
        await self.answer()

    async def ensure_indexes(self) -> None:
        """Nothing to do here."""

    async def close(self) -> None:
        """Nothing to do here."""

    async def answer(self) -> None:
        """Let other tasks run first, as a network call would; then raise if the database is away."""
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreUnavailable(detail="the memory twin is set to be away")


class _Collection(Generic[Record]):
    """Documents of one kind by id; everything that goes in or out is a copy."""

    def __init__(self, kind: type[Record]) -> None:
        self._kind = kind
        self._documents: dict[str, Document] = {}

    def insert(self, record: Record) -> None:
        if record.id in self._documents:
            raise DuplicateKey(f"{self._kind.__name__} {record.id} exists already")
        self.replace(record)

    def replace(self, record: Record) -> None:
        self._documents[record.id] = _plain(record)

    def get(self, record_id: str, where: Mapping[str, Any] | None = None) -> Record | None:
        document = self._documents.get(record_id)
        return self._record(document) if document is not None and _holds(document, where or {}) else None

    def select(self, test: Callable[[Record], bool]) -> list[Record]:
        return [record for record in map(self._record, self._documents.values()) if test(record)]

    def assign(self, record_id: str, values: Mapping[str, Any]) -> Record:
        self._documents[record_id].update(_plain(values))
        return self._record(self._documents[record_id])

    def increase(self, record_id: str, amounts: Mapping[str, int]) -> None:
        document = self._documents[record_id]
        document.update({name: (document.get(name) or 0) + amount for name, amount in amounts.items()})

    def raise_to(self, record_id: str, floors: Mapping[str, float]) -> None:
        document = self._documents[record_id]
        document.update({name: max(document.get(name) or 0, floor) for name, floor in floors.items()})

    def delete(self, record_id: str) -> None:
        self._documents.pop(record_id, None)

    def _record(self, document: Document) -> Record:
        return msgspec.convert(_plain(document), self._kind)


class MemoryConversionStore:
    """Twin of `ConversionStore`."""

    def __init__(self, stores: MemoryStores) -> None:
        self._stores = stores
        self._conversions = _Collection(Conversion)

    async def insert(self, conversion: Conversion) -> None:
        """Store a new record; raises `DuplicateKey`."""
        await self._stores.answer()
        self._conversions.insert(conversion)

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it is not there or not this owner's."""
        await self._stores.answer()
        return self._conversions.get(conversion_id, _owned(owner))

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Newest first, at most `query.limit`."""
        await self._stores.answer()
        names = ("owner", "client_id", "file_id", "source_format", "target_format")
        equal = {name: value for name in names if (value := getattr(query, name))}
        found = self._conversions.select(
            lambda one: (
                all(getattr(one, name) == value for name, value in equal.items())
                and (not query.statuses or one.status in query.statuses)
                and (query.after is None or one.id < query.after)
            )
        )
        return sorted(found, key=lambda one: one.id, reverse=True)[: query.limit]

    async def apply(self, change: Change) -> Conversion | None:
        """Apply one conditional update; the record after it, or None when a condition did not hold."""
        await self._stores.answer()
        before = self._conversions.get(change.id, change.where)
        if before is None or before.status not in change.expected:
            return None
        self._conversions.increase(change.id, change.increase)
        self._conversions.raise_to(change.id, change.raise_to)
        return self._conversions.assign(change.id, {**change.assign, "status": change.to})

    async def due(self, *, now_ms: int, limit: int) -> list[Conversion]:
        """Pending conversions whose wake-up is due, longest due first."""
        await self._stores.answer()
        found = self._conversions.select(lambda one: one.status is Status.PENDING and _due(one) <= now_ms)
        return sorted(found, key=_due)[:limit]

    async def processing(self, *, limit: int) -> list[Conversion]:
        """Conversions being processed."""
        await self._stores.answer()
        return self._conversions.select(lambda one: one.status is Status.PROCESSING)[:limit]

    async def awaiting_upload(self, *, created_before_ms: int, limit: int) -> list[Conversion]:
        """Conversions without bytes created before the given time, oldest first."""
        await self._stores.answer()
        found = self._conversions.select(
            lambda one: one.status is Status.AWAITING_UPLOAD and one.created_at < created_before_ms
        )
        return sorted(found, key=lambda one: one.created_at)[:limit]

    async def delete(self, conversion_id: str, *, owner: str) -> bool:
        """Remove a record in a terminal status."""
        await self._stores.answer()
        found = self._conversions.get(conversion_id, {"owner": owner})
        if found is None or found.status not in TERMINAL:
            return False
        self._conversions.delete(conversion_id)
        return True

    async def count_by_status(self, *, owner: str | None = None) -> dict[Status, int]:
        """How many conversions are in each status."""
        await self._stores.answer()
        counts: dict[Status, int] = {}
        for one in self._conversions.select(lambda one: owner is None or one.owner == owner):
            counts[one.status] = counts.get(one.status, 0) + 1
        return counts


class MemoryFileStore:
    """Twin of `FileStore`."""

    def __init__(self, stores: MemoryStores) -> None:
        self._stores = stores
        self._files = _Collection(File)

    async def insert(self, file: File) -> None:
        """Store a new record; raises `DuplicateKey`."""
        await self._stores.answer()
        self._files.insert(file)

    async def get(self, file_id: str, *, owner: str | None = None) -> File | None:
        """The record, or None when it is not there or not this owner's."""
        await self._stores.answer()
        return self._files.get(file_id, _owned(owner))

    async def update(
        self, file_id: str, *, version: int, expected: Iterable[FileStatus], assign: dict[str, Any]
    ) -> File | None:
        """Set fields if version and status are as expected."""
        await self._stores.answer()
        before = self._files.get(file_id, {"version": version})
        if before is None or before.status not in frozenset(expected):
            return None
        return self._files.assign(file_id, assign)

    async def find(self, *, owner: str, after: str | None, limit: int) -> list[File]:
        """Files that are not deleted, newest first."""
        await self._stores.answer()
        found = self._files.select(
            lambda one: (
                one.owner == owner and one.status is not FileStatus.DELETED and (after is None or one.id < after)
            )
        )
        return sorted(found, key=lambda one: one.id, reverse=True)[:limit]

    async def abandoned(self, *, created_before_ms: int, limit: int) -> list[File]:
        """Files still awaiting their upload, oldest first."""
        await self._stores.answer()
        found = self._files.select(
            lambda one: one.status is FileStatus.AWAITING_UPLOAD and one.created_at < created_before_ms
        )
        return sorted(found, key=lambda one: one.created_at)[:limit]


class MemoryWorkerStore:
    """Twin of `WorkerStore`."""

    def __init__(self, stores: MemoryStores) -> None:
        self._stores = stores
        self._workers = _Collection(Worker)

    async def put(self, worker: Worker) -> None:
        """Store the whole record."""
        await self._stores.answer()
        self._workers.replace(worker)

    async def seen_since(self, since_ms: int) -> list[Worker]:
        """Workers heard of at or after the given time."""
        await self._stores.answer()
        return self._workers.select(lambda one: one.seen_at >= since_ms)

    async def remove(self, worker_id: str) -> None:
        """Forget a worker."""
        await self._stores.answer()
        self._workers.delete(worker_id)


class MemoryAccessStore:
    """Twin of `AccessStore`."""

    def __init__(self, stores: MemoryStores) -> None:
        self._stores = stores
        self._keys = _Collection(ApiKey)
        self._answers = _Collection(RememberedAnswer)

    async def put_key(self, key: ApiKey) -> None:
        """Store a key."""
        await self._stores.answer()
        self._keys.replace(key)

    async def get_key(self, key_id: str) -> ApiKey | None:
        """The key, or None."""
        await self._stores.answer()
        return self._keys.get(key_id)

    async def claim_answer(self, answer: RememberedAnswer, *, stale_before_ms: int) -> RememberedAnswer | None:
        """Reserve an idempotency key: None when it is now ours."""
        await self._stores.answer()
        known = self._answers.get(answer.id)
        if known is not None and not known.is_given_up(now_ms=answer.claimed_at, stale_before_ms=stale_before_ms):
            return known
        self._answers.replace(answer)
        return None

    async def remember_answer(self, answer: RememberedAnswer) -> None:
        """Store the finished answer."""
        await self._stores.answer()
        self._answers.replace(answer)

    async def forget_answer(self, answer_id: str) -> None:
        """Give a reservation back."""
        await self._stores.answer()
        self._answers.delete(answer_id)


def _plain(value: object) -> Document:
    plain: Document = msgspec.json.decode(msgspec.json.encode(value))
    return plain


def _holds(document: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    return all(document.get(name) == value for name, value in _plain(where).items())


def _owned(owner: str | None) -> dict[str, Any]:
    return {} if owner is None else {"owner": owner}


def _due(conversion: Conversion) -> float:
    return float("inf") if conversion.publish_due is None else conversion.publish_due
