"""`CacheStore` on MongoDB."""

from converto_core.conversion.cache_key import CacheEntry
from converto_core.errors import DuplicateKey
from converto_infra.mongo.aged import MongoAgedRecords
from converto_infra.mongo.client import CurrentCollection
from converto_infra.mongo.collection import Collection
from converto_infra.resilience import Guard


class MongoCacheStore:
    """`CacheStore` on the collection `cache`."""

    def __init__(self, collection: CurrentCollection, guard: Guard) -> None:
        self._entries = Collection(collection, CacheEntry, guard)
        self.old_entries = MongoAgedRecords(self._entries, since="created_at")

    async def ensure_indexes(self) -> None:
        """For deleting old entries; lookups go by id."""
        await self.old_entries.ensure_indexes()

    async def lead(self, entry: CacheEntry) -> bool:
        """Store the entry unless its key has one."""
        try:
            await self._entries.insert(entry)
        except DuplicateKey:
            return False
        return True

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or None."""
        return await self._entries.get(key)

    async def take_over(self, known: CacheEntry, entry: CacheEntry) -> bool:
        """Replace the entry if it is still the known one."""
        unchanged = {"conversion_id": known.conversion_id, "token": known.token}
        return await self._entries.replace(entry, where=unchanged)
