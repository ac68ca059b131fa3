"""The ports: what converto needs of a database, an object store and a broker. Two implementations of each must agree.

Every method may raise the port's own `DependencyUnavailable` error (StoreUnavailable, ObjectStoreUnavailable,
BusUnavailable) and holds its own deadline: no caller ever waits without end. Reads see the newest acknowledged write.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from converto_core.access import ApiKey, RememberedAnswer
from converto_core.catalogue import Worker
from converto_core.conversion.cache_key import Cached
from converto_core.conversion.history import Entry
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.conversion.transitions import Change
from converto_core.dead_letters import DeadLetter, ParkedMessage, Reason
from converto_core.events import ConversionCreated, ConversionFact
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

    async def woken(
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

    def tell(self, entry: Entry) -> None:
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

    async def lead(self, entry: Cached) -> bool:
        """Store the entry if there is none for its key; False when there is one."""

    async def get(self, key: str) -> Cached | None:
        """The entry, or None."""

    async def take_over(self, known: Cached, entry: Cached) -> bool:
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

    async def give_answer_back(self, answer: RememberedAnswer) -> None:
        """Let the next one serve the request, with the same `new_ids`: serving failed in a way that may pass."""


class ParkedFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which parked messages to list, the last that died first: all conditions hold; `after` as for conversions."""

    reason: Reason | None = None
    conversion_id: str | None = None
    after: str | None = None
    limit: int = 50


class ParkedStore(Protocol):
    """Messages that the broker set aside."""

    async def insert(self, message: ParkedMessage) -> None:
        """Store a new record durably; raises `DuplicateKey` when this very dead letter is stored already."""

    async def get(self, message_id: str) -> ParkedMessage | None:
        """The record, or None."""

    async def find(self, query: ParkedFilter) -> list[ParkedMessage]:
        """The last that died first (by id), at most `query.limit`."""

    async def delete(self, message_id: str) -> bool:
        """Remove a record; False when it is not there."""

    async def stored_before(self, before_ms: int, *, limit: int) -> list[ParkedMessage]:
        """Records that were stored before the given time, oldest first."""


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the object store knows of an object; `sha256` in hex only where the store has verified it itself."""

    size_bytes: int
    etag: str
    content_type: str | None = None
    sha256: str | None = None


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a listing; `modified_at` is milliseconds since the epoch by the store's clock."""

    key: str
    size_bytes: int
    modified_at: int


class ObjectPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a listing in order of keys; `after` leads to the next page and is None on the last one."""

    objects: tuple[StoredObject, ...]
    after: str | None = None


class OpenUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A multipart upload that was begun and neither completed nor aborted; `started_at` by the store's clock (ms)."""

    key: str
    upload_id: str
    started_at: int


class UploadPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of unfinished uploads; `after` (key, upload id) leads to the next page and is None on the last one."""

    uploads: tuple[OpenUpload, ...]
    after: tuple[str, str] | None = None


class UploadedPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a multipart upload that has arrived."""

    part_number: int
    etag: str
    size_bytes: int = 0


class PresignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that whoever holds it may send until `expires_at` (ms): this method, URL and headers."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: int


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """Size and both hashes (hex) of bytes that were seen in one streaming pass."""

    size_bytes: int
    sha256: str
    sha512: str


class ObjectStore(Protocol):
    """Objects by key. Uploads and downloads of users go by presigned requests and never pass through a service."""

    async def ensure_bucket(self) -> None:
        """Create the bucket if it is missing (laptop and tests; in production Terraform makes it)."""

    async def ping(self) -> None:
        """Raise unless the store answers."""

    async def now_ms(self) -> int:
        """The store's own wall clock (ms), by which its objects are dated; may lag by the second it is told in."""

    async def head(self, key: str) -> ObjectInfo | None:
        """What is known of the object; None when it is not there."""

    async def read_range(self, key: str, *, start: int, length: int) -> bytes:
        """Bytes of a small range, fewer at the end; raises `SourceGone` when the object is not there."""

    async def download(self, key: str, path: Path) -> Digest:
        """Stream an object into a file and hash it on the way; raises `SourceGone`."""

    async def upload(self, path: Path, key: str, *, content_type: str, filename: str) -> Digest:
        """Stream a file into an object (multipart when large) and hash it in the same pass."""

    async def copy(
        self, source_key: str, target_key: str, *, size_bytes: int, content_type: str, filename: str
    ) -> None:
        """Copy an object of this size inside the store, under a readable name of its own; raises `SourceGone`."""

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store a small object whole."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those not there count as deleted."""

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys below a prefix: of one conversion or file, never of everything."""

    async def list_page(self, prefix: str, *, after: str | None, limit: int) -> ObjectPage:
        """At most `limit` (to 1,000) objects below a prefix, in order of keys, those after the key `after`."""

    async def list_uploads(self, prefix: str, *, after: tuple[str, str] | None, limit: int) -> UploadPage | None:
        """At most `limit` (to 1,000) unfinished multipart uploads; None when this store cannot list them."""

    async def presign_put(
        self, key: str, *, size_bytes: int, content_type: str, sha256: str | None
    ) -> PresignedRequest:
        """A PUT of exactly this size and type; other sizes are refused by the store."""

    async def presign_get(
        self, key: str, *, filename: str, content_type: str, inline: bool = False
    ) -> PresignedRequest:
        """A GET that downloads under a readable name."""

    async def start_multipart(self, key: str, *, content_type: str) -> str:
        """Begin a multipart upload; its upload id."""

    async def presign_parts(self, key: str, upload_id: str, part_numbers: Sequence[int]) -> list[PresignedRequest]:
        """One PUT for each part number (1 to 10,000)."""

    async def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """Parts that have arrived, by number; empty when the upload is unknown."""

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Join the parts; raises `UploadRefused` when one is missing or its ETag differs. Safe to repeat."""

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Drop an unfinished upload; unknown ones are fine."""


class Wakeup(Protocol):
    """One delivered wake-up. It has to be settled exactly once."""

    @property
    def event(self) -> ConversionCreated:
        """What was delivered."""

    async def accept(self) -> None:
        """Acknowledge: the database knows what to do from here, whatever happens to us."""

    async def release(self) -> None:
        """Give it back to the queue for another worker."""


class WakeupSource(Protocol):
    """One slot's view of the queues: it holds at most one unsettled wake-up."""

    async def next(self) -> Wakeup:
        """Wait for the next wake-up, high lane first; goes on by itself after the broker was away."""


class ParkedDelivery(Protocol):
    """One dead letter in our hands."""

    @property
    def letter(self) -> DeadLetter:
        """What was set aside."""

    async def accept(self) -> None:
        """Acknowledge: the broker forgets it. Raises nothing; if it does not get through, the letter comes again."""


class ParkedSource(Protocol):
    """The queue of dead letters. What is not accepted when it closes goes back."""

    async def take(self) -> ParkedDelivery | None:
        """The next dead letter, or None when there is none; raises `BusUnavailable`."""


class EventBus(Protocol):
    """Wake-ups for workers and facts for listeners."""

    async def ping(self) -> None:
        """Raise unless the broker answers."""

    async def publish(self, event: ConversionCreated) -> None:
        """Publish a wake-up, persistent and confirmed; raises `BusUnavailable` also when no queue takes it."""

    async def backlog(self, family: Family, lane: Lane) -> int:
        """How many wake-ups lie in a queue that nobody was handed yet; raises `BusUnavailable`, also without queue."""

    async def announce(self, event: ConversionFact) -> None:
        """Publish a fact; never raises for a broker that is away (facts may be lost, the record is the truth)."""

    def open_slot(
        self, families: Sequence[Family], *, quarantine: bool = False
    ) -> AbstractAsyncContextManager[WakeupSource]:
        """A channel of its own for one slot; with `quarantine` it also takes that lane."""

    def dead_letters(self) -> AbstractAsyncContextManager[ParkedSource]:
        """The queue of dead letters, on a channel of its own; several readers never hold the same letter."""

    def facts(self) -> AbstractAsyncContextManager[AsyncIterator[ConversionFact]]:
        """All facts from now on; a slow reader loses the oldest, never blocks the bus."""
