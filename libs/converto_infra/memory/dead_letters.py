"""In-memory twin of `DeadLetterStore`."""

from converto_core.dead_letters import DeadLetter
from converto_core.ports.dead_letters import DeadLetterFilter
from converto_infra.memory.collection import Collection, MemoryServer


class MemoryDeadLetterStore:
    """Twin of `DeadLetterStore`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._dead_letters = Collection(DeadLetter)

    async def insert(self, message: DeadLetter) -> None:
        """Store a new record; raises `DuplicateKey`."""
        await self._server.answer()
        self._dead_letters.insert(message)

    async def get(self, message_id: str) -> DeadLetter | None:
        """The record, or None."""
        await self._server.answer()
        return self._dead_letters.get(message_id)

    async def find(self, query: DeadLetterFilter) -> list[DeadLetter]:
        """Matching records, the most recent first, at most `query.limit`."""
        await self._server.answer()
        found = self._dead_letters.select(
            lambda one: (
                query.reason in (None, one.reason)
                and query.conversion_id in (None, one.conversion_id)
                and (query.after is None or one.id < query.after)
            )
        )
        return sorted(found, key=lambda one: one.id, reverse=True)[: query.limit]

    async def delete(self, message_id: str) -> bool:
        """Delete a record; False when it does not exist."""
        await self._server.answer()
        is_there = self._dead_letters.get(message_id) is not None
        self._dead_letters.delete(message_id)
        return is_there

    async def stored_before(self, before_ms: int, *, limit: int) -> list[DeadLetter]:
        """Records stored before the given time, oldest first."""
        await self._server.answer()
        found = self._dead_letters.select(lambda one: one.stored_at < before_ms)
        return sorted(found, key=lambda one: one.stored_at)[:limit]
