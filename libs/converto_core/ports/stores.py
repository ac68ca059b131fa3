"""The database port: one store per kind of record."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from converto_core.access import ApiKey, RememberedAnswer
from converto_core.catalogue import Worker
from converto_core.conversion.cache_key import CacheEntry
from converto_core.conversion.change import Change
from converto_core.conversion.history import Entry
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family


class ConversionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which conversions to list, newest first: all conditions hold; `after` is the last id of the previous page."""

    owner: str | None = None
    statuses: tuple[Status, ...] = ()
    client_id: str | None = None
    file_id: str | None = None
    source_format: str | None = None
    target_format: str | None = None
    after: str | None = None
    limit: int = 50


class AgedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The id and age of a record of any kind; its retention period starts at `since` (ms)."""

    id: str
    since: int


class AgedRecords(Protocol):
    """Records of any kind that are deleted by age alone."""

    async def older_than(self, *, from_ms: int, before_ms: int, limit: int) -> list[AgedRecord]:
        """Records dated within this period, oldest first."""

    async def delete_older(self, ids: Sequence[str], *, before_ms: int) -> int:
        """Delete those of these records that are still older than `before_ms`; returns how many."""


class ConversionStore(Protocol):
    """Conversions; their status changes only through `apply`."""

    async def insert(self, conversion: Conversion) -> None:
        """Store a new record durably; raises `DuplicateKey` when the id is taken."""

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it does not exist or belongs to another owner."""

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Matching conversions, newest first (by id, a UUIDv7), at most `query.limit`."""

    async def apply(self, change: Change) -> Conversion | None:
        """Apply one conditional update atomically; the record after it, or None when a condition did not hold.

        A change with an event is also recorded in the history, which is written in the background shortly after.
        """

    async def due(self, *, now_ms: int, limit: int) -> list[Conversion]:
        """Pending conversions whose `publish_due` has passed, longest overdue first."""

    async def due_after(self, after_ms: int, *, published: int | None = None, limit: int) -> list[Conversion]:
        """Pending conversions whose `publish_due` is later, with so many confirmed messages (None: any number)."""

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

    async def processing(self, *, limit: int) -> list[Conversion]:
        """Conversions in status `processing`."""

    async def awaiting_upload(
        self, *, created_before_ms: int, limit: int, created_from_ms: int = 0
    ) -> list[Conversion]:
        """Conversions in status `awaiting_upload` created within this period, oldest first."""

    async def ended(
        self, status: Status, *, from_ms: int, before_ms: int, limit: int, error_code: str | None = None
    ) -> list[Conversion]:
        """Conversions of a terminal status whose `completed_at` is within this period, oldest first."""

    async def get_many(self, conversion_ids: Sequence[str]) -> list[Conversion]:
        """The existing records among these ids (a few hundred), in any order."""

    async def count_by_file(self, file_ids: Sequence[str], statuses: Iterable[Status]) -> dict[str, int]:
        """How many conversions in these statuses each file has; files without any are left out."""

    async def has_pending(self, owner: str, *, at_least: int) -> bool:
        """True when the owner has at least this many pending conversions; reads no more than `at_least` of them."""

    async def waiting_for(self, cache_key: str, *, after: str | None, limit: int) -> list[Conversion]:
        """Pending conversions that wait for the result of this cache key, oldest first, after this id."""

    async def delete_unchanged(self, conversion: Conversion) -> bool:
        """Delete a record in a terminal status; False when it does not exist or has changed since it was read.

        Unchanged means the same status, token and `updated_at`: nobody has retried or claimed it.
        """

    async def count_by_status(self, *, owner: str | None = None) -> dict[Status, int]:
        """How many conversions each status has; statuses without any are left out."""


class HistoryStore(Protocol):
    """The history of conversions: insert-only, deleted by age."""

    @property
    def old_entries(self) -> AgedRecords:
        """Entries by the time of their event."""

    def record(self, entry: Entry) -> None:
        """Write the entry in the background. Never blocks or raises; keeps the newest while the database is down."""

    async def of(self, conversion_id: str, *, owner: str) -> list[Entry]:
        """All entries of a conversion, oldest first."""


class FileStore(Protocol):
    """Uploaded sources."""

    async def insert(self, file: File) -> None:
        """Store a new record durably; raises `DuplicateKey` when the id is taken."""

    async def get(self, file_id: str, *, owner: str | None = None) -> File | None:
        """The record, or None when it does not exist or belongs to another owner."""

    async def update(
        self, file_id: str, *, version: int, expected: Iterable[FileStatus], assign: dict[str, Any]
    ) -> File | None:
        """Set fields if version and status are as expected; the record after the update, or None."""

    async def find(self, *, owner: str, after: str | None, limit: int) -> list[File]:
        """Files that are not deleted, newest first, after this id."""

    async def abandoned(self, *, created_before_ms: int, limit: int, created_from_ms: int = 0) -> list[File]:
        """Files in status `awaiting_upload` created within this period, oldest first."""

    async def to_look_at(self, *, now_ms: int, limit: int) -> list[File]:
        """Files in status `awaiting_upload` whose `look_due` has passed, longest overdue first."""

    async def looks_after(self, after_ms: int, *, limit: int) -> list[File]:
        """Files in status `awaiting_upload` whose `look_due` is later, latest first."""

    async def take_look(self, file: File, *, next_due_ms: int | None, looks: int | None = None) -> bool:
        """Set the file's next `look_due`, and `looks` if given; True for the one of many callers that may look now."""

    async def replace_upload(self, file: File, *, upload_id: str | None) -> File | None:
        """Set the id of the multipart upload if the file still waits with the id of `file`; the record, or None."""

    async def unchanged(self, status: FileStatus, *, from_ms: int, before_ms: int, limit: int) -> list[File]:
        """Files of a status whose `updated_at` is within this period, longest unchanged first."""

    async def get_many(self, file_ids: Sequence[str]) -> list[File]:
        """The existing records among these ids (a few hundred), deleted files included, in any order."""

    async def delete_unchanged(self, file: File) -> bool:
        """Delete the record of a deleted file unless it has changed since it was read."""


class CacheStore(Protocol):
    """The leader of each cache key: the one conversion that makes, or made, its result."""

    @property
    def old_entries(self) -> AgedRecords:
        """Entries by the time of their creation."""

    async def lead(self, entry: CacheEntry) -> bool:
        """Insert the entry; False when its key already has one."""

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or None."""

    async def take_over(self, known: CacheEntry, entry: CacheEntry) -> bool:
        """Replace the entry if it is still `known`; False when it has changed or is gone."""


class WorkerStore(Protocol):
    """The worker registry: which workers exist, what they offer and which jobs they run."""

    async def put(self, worker: Worker) -> None:
        """Insert the record, or replace the one with the same id."""

    async def seen_since(self, since_ms: int) -> list[Worker]:
        """Workers whose `seen_at` is at or after the given time."""

    async def remove(self, worker_id: str) -> None:
        """Delete the record of a worker."""


class AccessStore(Protocol):
    """API keys, and the answers remembered under idempotency keys."""

    @property
    def old_answers(self) -> AgedRecords:
        """Remembered answers by the time of their expiry."""

    async def put_key(self, key: ApiKey) -> None:
        """Insert a key, or replace the one with the same id."""

    async def get_key(self, key_id: str) -> ApiKey | None:
        """The key, or None."""

    async def claim_answer(self, answer: RememberedAnswer, *, stale_before_ms: int) -> RememberedAnswer:
        """Reserve an idempotency key; returns what is stored for it now, which is ours if it has our `claim`.

        Takes over an expired answer, and a reservation made before `stale_before_ms`, whose server must have died, or
        as far in the future, by a clock that was ahead. The reservation passes on its `new_ids`.
        """

    async def remember_answer(self, answer: RememberedAnswer) -> None:
        """Store the answer under its reservation."""

    async def release_answer(self, answer: RememberedAnswer) -> None:
        """Release the reservation after a transient failure; the next request gets the same `new_ids`."""
