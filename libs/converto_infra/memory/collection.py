"""In-memory twin of a collection and of the server behind it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from converto_core.errors import DuplicateKey, RecordUnreadable, StoreUnavailable

Document = dict[str, Any]


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


Record = TypeVar("Record", bound=_Identified)


class MemoryServer:
    """A database server that a test can take down or slow down."""

    def __init__(self) -> None:
        self.is_away = False
        self.waiting = 0
        """The number of calls that wait for an answer."""
        self._may_answer = asyncio.Event()
        self._may_answer.set()

    def hold(self) -> None:
        """Answer no call until `resume`, like a server that is very slow but up."""
        self._may_answer.clear()

    def resume(self) -> None:
        """Answer all waiting calls and new ones."""
        self._may_answer.set()

    async def answer(self) -> None:
        """Let other tasks run, as a network call would; then raise `StoreUnavailable` while `is_away` is set."""
        self.waiting += 1
        try:
            await asyncio.sleep(0)
            await self._may_answer.wait()
        finally:
            self.waiting -= 1
        if self.is_away:
            raise StoreUnavailable(detail="the in-memory twin is set to be unavailable")


class Collection(Generic[Record]):
    """Records of one kind by id; stores copies, and makes a record from its document once after each change."""

    def __init__(self, kind: type[Record]) -> None:
        self._kind = kind
        self._documents: dict[str, Document] = {}
        self._records: dict[str, Record] = {}

    def insert(self, record: Record) -> None:
        if record.id in self._documents:
            raise DuplicateKey(f"{self._kind.__name__} {record.id} already exists")
        self.replace(record)

    def replace(self, record: Record) -> None:
        self._documents[record.id] = _plain(record)
        self._records.pop(record.id, None)

    def get(self, record_id: str, where: Mapping[str, Any] | None = None) -> Record | None:
        document = self._documents.get(record_id)
        if document is None or (where and not _holds(document, where)):
            return None
        return self._record(record_id)

    def select(self, test: Callable[[Record], bool]) -> list[Record]:
        """Matching records; those that cannot be read are left out."""
        found = (self._readable(record_id) for record_id in self._documents)
        return [record for record in found if record is not None and test(record)]

    def assign(self, record_id: str, values: Mapping[str, Any]) -> Record:
        self._update(record_id, _plain(values))
        return self._record(record_id)

    def increase(self, record_id: str, amounts: Mapping[str, Any]) -> None:
        document = self._documents[record_id]
        self._update(record_id, {name: (document.get(name) or 0) + amount for name, amount in amounts.items()})

    def raise_to(self, record_id: str, floors: Mapping[str, Any]) -> None:
        document = self._documents[record_id]
        self._update(record_id, {name: max(document.get(name) or 0, floor) for name, floor in floors.items()})

    def delete(self, record_id: str) -> None:
        self._documents.pop(record_id, None)
        self._records.pop(record_id, None)

    def _update(self, record_id: str, values: Document) -> None:
        self._documents[record_id].update(values)
        self._records.pop(record_id, None)

    def spoil(self, record_id: str, values: Mapping[str, Any]) -> None:
        """Write fields that this version cannot read, as a newer version or a wrong hand does."""
        self._update(record_id, _plain(values))

    def _readable(self, record_id: str) -> Record | None:
        try:
            return self._record(record_id)
        except RecordUnreadable:
            return None

    def _record(self, record_id: str) -> Record:
        known = self._records.get(record_id)
        if known is None:
            try:
                known = msgspec.convert(_plain(self._documents[record_id]), self._kind)
            except msgspec.ValidationError as error:
                raise RecordUnreadable(detail=f"{self._kind.__name__.lower()} {record_id}: {error}") from error
            self._records[record_id] = known
        return known


def owned(owner: str | None) -> dict[str, Any]:
    return {} if owner is None else {"owner": owner}


def _plain(value: object) -> Document:
    plain: Document = msgspec.json.decode(msgspec.json.encode(value))
    return plain


def _holds(document: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    return all(document.get(name) == value for name, value in _plain(where).items())
