"""In-memory twins of the database ports, for unit tests and for trying things out; nothing survives the process.

They keep plain documents, as a database does, and hold the same conditions as the Mongo adapter: one contract suite
runs on both. `is_away` makes every call fail as if the server were gone. The twins of the object store and the bus
are offered here too.
"""

from converto_core.ids import new_id
from converto_infra.memory.access import MemoryAccessStore
from converto_infra.memory.bus import MemoryEventBus
from converto_infra.memory.cache import MemoryCacheStore
from converto_infra.memory.collection import MemoryServer
from converto_infra.memory.conversions import MemoryConversionStore
from converto_infra.memory.dead_letters import MemoryDeadLetterStore
from converto_infra.memory.files import MemoryFileStore
from converto_infra.memory.history import MemoryHistoryStore
from converto_infra.memory.objects import MemoryObjectStore
from converto_infra.memory.workers import MemoryWorkerStore

__all__ = ["MemoryEventBus", "MemoryObjectStore", "MemoryStores"]


class MemoryStores(MemoryServer):
    """The stores of one database that lives in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.history = MemoryHistoryStore(self)
        self.conversions = MemoryConversionStore(self, self.history)
        self.files = MemoryFileStore(self)
        self.cache = MemoryCacheStore(self)
        self.workers = MemoryWorkerStore(self)
        self.dead_letters = MemoryDeadLetterStore(self)
        self.access = MemoryAccessStore(self)
        self._identity = new_id()

    async def ping(self) -> None:
        """Raise `StoreUnavailable` while `is_away` is set."""
        await self.answer()

    async def ensure_indexes(self) -> None:
        """Nothing to do here."""

    async def identity(self) -> str:
        """An id that this database keeps."""
        await self.answer()
        return self._identity

    async def close(self) -> None:
        """Nothing to do here."""
