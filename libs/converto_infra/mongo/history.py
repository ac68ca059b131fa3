"""`HistoryStore` on MongoDB; a background task writes entries in batches, so that no change waits for them."""

import asyncio
from collections import deque

import structlog
from pymongo import ASCENDING

from converto_core.conversion.history import Entry
from converto_core.errors import StoreUnavailable
from converto_infra.mongo.aged import MongoAgedRecords
from converto_infra.mongo.client import CurrentCollection
from converto_infra.mongo.collection import Collection, exactly
from converto_infra.resilience import Guard

BATCH = 200
MAX_WAITING = 10_000  # during a long outage the oldest entries are dropped
GATHER_S = 0.1  # changes that follow each other quickly share one write
RETRY_S = 1.0
CLOSE_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


class MongoHistoryStore:
    """`HistoryStore` on the collection `history`."""

    def __init__(self, collection: CurrentCollection, guard: Guard) -> None:
        self._entries = Collection(collection, Entry, guard)
        self.old_entries = MongoAgedRecords(self._entries, since="at")
        self._waiting: deque[Entry] = deque(maxlen=MAX_WAITING)
        self._writing: asyncio.Task[None] | None = None

    async def ensure_indexes(self) -> None:
        """For the history of one conversion and for deleting old entries."""
        await self._entries.ensure_index(("conversion_id", ASCENDING), ("number", ASCENDING))
        await self.old_entries.ensure_indexes()

    def record(self, entry: Entry) -> None:
        """Write the entry in the background."""
        self._waiting.append(entry)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def of(self, conversion_id: str, *, owner: str) -> list[Entry]:
        """All entries of a conversion, oldest first."""
        where = {"conversion_id": exactly(conversion_id), "owner": owner}
        return await self._entries.select(where, oldest_by="number")

    async def close(self) -> None:
        """Write the remaining entries, for at most `CLOSE_TIMEOUT_S`, then stop."""
        if self._writing is None:
            return
        await asyncio.wait((self._writing,), timeout=CLOSE_TIMEOUT_S)
        self._writing.cancel()
        await asyncio.wait((self._writing,))
        if self._waiting:
            log.warning("history.lost", entries=len(self._waiting))

    async def _write_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            batch = list(self._waiting)[:BATCH]
            try:
                # Safe to repeat after a lost answer: entries that exist already are skipped.
                await self._entries.insert_many(batch)
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)
                continue
            written = {entry.id for entry in batch}
            while self._waiting and self._waiting[0].id in written:
                self._waiting.popleft()
