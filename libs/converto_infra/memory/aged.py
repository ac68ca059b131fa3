"""In-memory twin of `AgedRecords` on any collection."""

from collections.abc import Sequence
from typing import Any

from converto_core.ports.stores import AgedRecord
from converto_infra.memory.collection import Collection, MemoryServer


class MemoryAgedRecords:
    """Twin of `AgedRecords`; the retention period starts at the field `since` (ms)."""

    def __init__(self, server: MemoryServer, collection: Collection[Any], *, since: str) -> None:
        self._server, self._collection, self._since = server, collection, since

    async def older_than(self, *, from_ms: int, before_ms: int, limit: int) -> list[AgedRecord]:
        """Records dated within this period, oldest first."""
        await self._server.answer()
        found = self._collection.select(lambda one: from_ms <= getattr(one, self._since) < before_ms)
        aged = [AgedRecord(id=one.id, since=getattr(one, self._since)) for one in found]
        return sorted(aged, key=lambda one: one.since)[:limit]

    async def delete_older(self, ids: Sequence[str], *, before_ms: int) -> int:
        """Delete those of these records that are still older than `before_ms`; returns how many."""
        await self._server.answer()
        old = self._collection.select(lambda one: one.id in ids and getattr(one, self._since) < before_ms)
        for one in old:
            self._collection.delete(one.id)
        return len(old)
