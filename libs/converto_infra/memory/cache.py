"""In-memory twin of `CacheStore`."""

from converto_core.conversion.cache_key import CacheEntry
from converto_infra.memory.aged import MemoryAgedRecords
from converto_infra.memory.collection import Collection, MemoryServer


class MemoryCacheStore:
    """Twin of `CacheStore`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._entries = Collection(CacheEntry)
        self.old_entries = MemoryAgedRecords(server, self._entries, since="created_at")

    async def lead(self, entry: CacheEntry) -> bool:
        """Store the entry unless its key has one."""
        await self._server.answer()
        if self._entries.get(entry.id) is not None:
            return False
        self._entries.insert(entry)
        return True

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or None."""
        await self._server.answer()
        return self._entries.get(key)

    async def take_over(self, known: CacheEntry, entry: CacheEntry) -> bool:
        """Replace the entry if it is still the known one."""
        await self._server.answer()
        unchanged = {"conversion_id": known.conversion_id, "token": known.token}
        if self._entries.get(known.id, unchanged) is None:
            return False
        self._entries.replace(entry)
        return True
