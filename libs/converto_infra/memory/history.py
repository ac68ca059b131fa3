"""In-memory twin of `HistoryStore`."""

from converto_core.conversion.history import Entry
from converto_infra.memory.aged import MemoryAgedRecords
from converto_infra.memory.collection import Collection, MemoryServer


class MemoryHistoryStore:
    """Twin of `HistoryStore` that writes at once."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._entries = Collection(Entry)
        self.old_entries = MemoryAgedRecords(server, self._entries, since="at")

    def record(self, entry: Entry) -> None:
        """Write the entry."""
        self._entries.replace(entry)

    async def of(self, conversion_id: str, *, owner: str) -> list[Entry]:
        """All entries of a conversion, oldest first."""
        await self._server.answer()
        return [entry for entry in self.written(conversion_id) if entry.owner == owner]

    def written(self, conversion_id: str) -> list[Entry]:
        """The same of any owner, at once, for tests that look into the server."""
        found = self._entries.select(lambda one: one.conversion_id == conversion_id)
        return sorted(found, key=lambda one: one.number)
