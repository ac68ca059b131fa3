"""In-memory twins of the ports, for unit tests; one contract suite runs on them and on the real adapters.

They store plain documents, as a database does. `is_away` makes every call fail as if the server were down.
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
from converto_infra.memory.upload_events import MemoryUploadEvents
from converto_infra.memory.workers import MemoryWorkerStore

__all__ = ["MemoryEventBus", "MemoryObjectStore", "MemoryStores", "MemoryUploadEvents"]


class MemoryStores(MemoryServer):
    """The stores of one database in this process."""

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
        self.faults: tuple[str, ...] = ()

    async def ping(self) -> None:
        """Raise `StoreUnavailable` while `is_away` is set."""
        await self.answer()

    async def ensure_indexes(self) -> None:
        """Do nothing: a dictionary needs no index and no closing."""

    async def identity(self) -> str:
        """The id of this database."""
        await self.answer()
        return self._identity

    async def close(self) -> None:
        """Do nothing: a dictionary needs no index and no closing."""
