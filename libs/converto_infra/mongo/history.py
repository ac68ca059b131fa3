"""`HistoryStore` on MongoDB: entries are written in batches by a task of its own, so that no change waits for them."""

import asyncio
from collections import deque

import structlog
from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from converto_core.conversion.history import Entry
from converto_core.errors import StoreUnavailable
from converto_infra.mongo.aged import MongoAgedRecords
from converto_infra.mongo.collection import Collection, Document, document_of, exactly, record_of
from converto_infra.resilience import Guard

BATCH = 200
MOST_WAITING = 10_000  # of a long outage the newest are kept
GATHER_S = 0.1  # several changes of a busy moment share one write
AGAIN_S = 1.0
FAREWELL_S = 2.0

log = structlog.get_logger(__name__)


class MongoHistoryStore:
    """`HistoryStore` on the collection `history`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._entries = Collection(collection, guard)
        self.old_entries = MongoAgedRecords(self._entries, since="at")
        self._waiting: deque[Entry] = deque(maxlen=MOST_WAITING)
        self._writing: asyncio.Task[None] | None = None

    async def ensure_indexes(self) -> None:
        """For the history of one conversion and for the sweep of old entries."""
        await self._entries.ensure_index(("conversion_id", ASCENDING), ("number", ASCENDING))
        await self.old_entries.ensure_indexes()

    def record(self, entry: Entry) -> None:
        """Write it soon."""
        self._waiting.append(entry)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def of(self, conversion_id: str, *, owner: str) -> list[Entry]:
        """All entries of a conversion, oldest first."""
        where = {"conversion_id": exactly(conversion_id), "owner": owner}
        found = await self._entries.select(where, order=[("number", ASCENDING)])
        return [record_of(document, Entry) for document in found]

    async def close(self) -> None:
        """Write what is left if that is quick; then stop."""
        if self._writing is None:
            return
        await asyncio.wait((self._writing,), timeout=FAREWELL_S)
        self._writing.cancel()
        await asyncio.wait((self._writing,))
        if self._waiting:
            log.warning("history.lost", entries=len(self._waiting))

    async def _write_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            batch = list(self._waiting)[:BATCH]
            try:
                # One that was written before its answer was lost is found to be there, which is as good.
                await self._entries.insert_many([document_of(entry) for entry in batch])
            except StoreUnavailable:
                await asyncio.sleep(AGAIN_S)
                continue
            written = {entry.id for entry in batch}
            while self._waiting and self._waiting[0].id in written:
                self._waiting.popleft()
