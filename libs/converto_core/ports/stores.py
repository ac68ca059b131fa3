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
    """Which conversions to list, newest first: all conditions hold; `after` is the id the last page ended with."""

    owner: str | None = None
    statuses: tuple[Status, ...] = ()
    client_id: str | None = None
    file_id: str | None = None
    source_format: str | None = None
    target_format: str | None = None
    after: str | None = None
    limit: int = 50


class AgedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of any kind as far as its age goes; `since` is the time (ms) from which its retention counts."""

    id: str
    since: int


class AgedRecords(Protocol):
    """Records that only have to go when they are old enough, whatever they are."""

    async def older_than(self, *, from_ms: int, before_ms: int, limit: int) -> list[AgedRecord]:
        """Those whose time lies in this time, oldest first."""

    async def delete_older(self, ids: Sequence[str], *, before_ms: int) -> int:
        """Remove those of these records that are still older than the given time; how many were removed."""


class ConversionStore(Protocol):
    """Conversions; their status changes only by `apply`."""

    async def insert(self, conversion: Conversion) -> None:
        """Store a new record durably; raises `DuplicateKey` when the id is taken."""

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it is not there or not this owner's."""

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Newest first (ids are UUIDv7, so by id), at most `query.limit`."""

    async def apply(self, change: Change) -> Conversion | None:
        """Apply one conditional update atomically; the record after it, or None when a condition did not hold.

        A change with an event is also told to the history, which is written soon after and never waited for.
        """

    async def due(self, *, now_ms: int, limit: int) -> list[Conversion]:
        """Pending conversions whose `publish_due` is at or before `now_ms`, longest due first."""

    async def published(
        self, family: Family | None, lane: Lane | None, *, changed_before_ms: int, limit: int
    ) -> list[Conversion]:
        """Pending conversions of one queue (None: of any) whose wake-up was confirmed, unchanged since before then."""

    async def processing(self, *, limit: int) -> list[Conversion]:
        """Conversions being processed, for the reaper."""

    async def awaiting_upload(
        self, *, created_before_ms: int, limit: int, created_from_ms: int = 0
    ) -> list[Conversion]:
        """Conversions that still wait for their bytes and were created in this time, oldest first."""

    async def ended(
        self, status: Status, *, from_ms: int, before_ms: int, limit: int, error_code: str | None = None
    ) -> list[Conversion]:
        """Conversions of a terminal status whose `completed_at` lies in this time, oldest first."""

    async def get_many(self, conversion_ids: Sequence[str]) -> list[Conversion]:
        """Those of these records that are there, in any order; for a page of a few hundred ids."""

    async def count_by_file(self, file_ids: Sequence[str], statuses: Iterable[Status]) -> dict[str, int]:
        """How many conversions in these statuses each of these files has; files without any are left out."""

    async def has_pending(self, owner: str, *, at_least: int) -> bool:
        """True when this many conversions of an owner, or more, wait for a worker. It costs no more than `at_least`."""

    async def waiting_for(self, cache_key: str, *, after: str | None, limit: int) -> list[Conversion]:
        """Pending conversions that wait for the result of this key, oldest first, after this id."""

    async def delete(self, conversion_id: str, *, owner: str) -> bool:
        """Remove a record in a terminal status; False when it is not there, not this owner's or still alive."""

    async def delete_unchanged(self, conversion: Conversion) -> bool:
        """Remove a record in a terminal status if nothing has happened to it since it was read (housekeeping)."""

    async def count_by_status(self, *, owner: str | None = None) -> dict[Status, int]:
        """How many conversions are in each status; statuses without any are left out."""


class HistoryStore(Protocol):
    """What happened to conversions; entries are only ever added, and dropped when they are old."""

    @property
    def old_entries(self) -> AgedRecords:
        """Entries by the time at which they happened."""

    def record(self, entry: Entry) -> None:
        """Write it soon. Never waits and never fails: while the database is away the newest entries are kept."""

    async def of(self, conversion_id: str, *, owner: str) -> list[Entry]:
        """All entries of a conversion, oldest first."""


class FileStore(Protocol):
    """Files and what is known of their bytes."""

    async def insert(self, file: File) -> None:
        """Store a new record durably; raises `DuplicateKey` when the id is taken."""

    async def get(self, file_id: str, *, owner: str | None = None) -> File | None:
        """The record, or None when it is not there or not this owner's."""

    async def update(
        self, file_id: str, *, version: int, expected: Iterable[FileStatus], assign: dict[str, Any]
    ) -> File | None:
        """Set fields if version and status are as expected; the record after it, or None."""

    async def find(self, *, owner: str, after: str | None, limit: int) -> list[File]:
        """Files that are not deleted, newest first."""

    async def abandoned(self, *, created_before_ms: int, limit: int, created_from_ms: int = 0) -> list[File]:
        """Files still awaiting their upload that were created in this time, oldest first."""

    async def unchanged(self, status: FileStatus, *, from_ms: int, before_ms: int, limit: int) -> list[File]:
        """Files of a status whose `updated_at` lies in this time, longest unchanged first."""

    async def get_many(self, file_ids: Sequence[str]) -> list[File]:
        """Those of these records that are there, deleted ones too, in any order; for a page of a few hundred ids."""

    async def delete_unchanged(self, file: File) -> bool:
        """Remove the record of a deleted file if nothing has happened to it since it was read."""


class CacheStore(Protocol):
    """Who makes, or made, the result of a cache key: at most one conversion at any time."""

    @property
    def old_entries(self) -> AgedRecords:
        """Entries by the time at which they were made."""

    async def lead(self, entry: CacheEntry) -> bool:
        """Store the entry if there is none for its key; False when there is one."""

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or None."""

    async def take_over(self, known: CacheEntry, entry: CacheEntry) -> bool:
        """Replace the entry if it is still the known one; False when it is not, or is gone."""


class WorkerStore(Protocol):
    """Which workers there are, what they offer and what they run."""

    async def put(self, worker: Worker) -> None:
        """Store the whole record, replacing what was there."""

    async def seen_since(self, since_ms: int) -> list[Worker]:
        """Workers heard of at or after the given time."""

    async def remove(self, worker_id: str) -> None:
        """Forget a worker."""


class AccessStore(Protocol):
    """API keys and remembered answers."""

    @property
    def old_answers(self) -> AgedRecords:
        """Remembered answers by the time at which they expire."""

    async def put_key(self, key: ApiKey) -> None:
        """Store a key, replacing one with the same id."""

    async def get_key(self, key_id: str) -> ApiKey | None:
        """The key, or None."""

    async def claim_answer(self, answer: RememberedAnswer, *, stale_before_ms: int) -> RememberedAnswer:
        """Reserve an idempotency key; what is kept for it now. It is ours when it has our `claim`.

        An expired answer, or a reservation made before `stale_before_ms` whose server died, is taken over, the latter
        with its `new_ids`.
        """

    async def remember_answer(self, answer: RememberedAnswer) -> None:
        """Store the finished answer."""

    async def release_answer(self, answer: RememberedAnswer) -> None:
        """Let the next one serve the request, with the same `new_ids`: serving failed in a way that may pass."""
