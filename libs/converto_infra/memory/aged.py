"""In-memory twin of `AgedRecords`, on any collection of a memory store."""

from collections.abc import Sequence
from typing import Any

from converto_core.ports.stores import AgedRecord
from converto_infra.memory.collection import Collection, MemoryServer


class MemoryAgedRecords:
    """Twin of `AgedRecords`; `since` is the field (ms) from which the retention counts."""

    def __init__(self, server: MemoryServer, collection: Collection[Any], *, since: str) -> None:
        self._server, self._collection, self._since = server, collection, since

    async def older_than(self, *, from_ms: int, before_ms: int, limit: int) -> list[AgedRecord]:
        """Those whose time lies in this time, oldest first."""
        await self._server.answer()
        found = self._collection.select(lambda one: from_ms <= getattr(one, self._since) < before_ms)
        aged = [AgedRecord(id=one.id, since=getattr(one, self._since)) for one in found]
        return sorted(aged, key=lambda one: one.since)[:limit]

    async def delete_older(self, ids: Sequence[str], *, before_ms: int) -> int:
        """Remove those of these records that are still older than the given time."""
        await self._server.answer()
        old = self._collection.select(lambda one: one.id in ids and getattr(one, self._since) < before_ms)
        for one in old:
            self._collection.delete(one.id)
        return len(old)
