"""`CacheStore` on MongoDB."""

from pymongo.asynchronous.collection import AsyncCollection

from converto_core.conversion.cache_key import CacheEntry
from converto_core.errors import DuplicateKey
from converto_infra.mongo.aged import MongoAgedRecords
from converto_infra.mongo.collection import Collection, document_of, record_or_none
from converto_infra.mongo.driver import Document
from converto_infra.resilience import Guard


class MongoCacheStore:
    """`CacheStore` on the collection `cache`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._entries = Collection(collection, guard)
        self.old_entries = MongoAgedRecords(self._entries, since="created_at")

    async def ensure_indexes(self) -> None:
        """For forgetting old entries; a key is looked up by its id."""
        await self.old_entries.ensure_indexes()

    async def lead(self, entry: CacheEntry) -> bool:
        """Store the entry if there is none for its key."""
        try:
            await self._entries.insert(document_of(entry))
        except DuplicateKey:
            return False
        return True

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or None."""
        return record_or_none(await self._entries.get({"_id": key}), CacheEntry)

    async def take_over(self, known: CacheEntry, entry: CacheEntry) -> bool:
        """Replace the entry if it is still the known one."""
        unchanged = {"conversion_id": known.conversion_id, "token": known.token}
        return await self._entries.replace(document_of(entry), where=unchanged)
