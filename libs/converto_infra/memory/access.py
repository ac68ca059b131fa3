"""In-memory twin of `AccessStore`."""

import msgspec

from converto_core.access import ApiKey, RememberedAnswer
from converto_infra.memory.aged import MemoryAgedRecords
from converto_infra.memory.collection import Collection, MemoryServer


class MemoryAccessStore:
    """Twin of `AccessStore`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._keys = Collection(ApiKey)
        self._answers = Collection(RememberedAnswer)
        self.old_answers = MemoryAgedRecords(server, self._answers, since="expires_at")

    async def put_key(self, key: ApiKey) -> None:
        """Store a key."""
        await self._server.answer()
        self._keys.replace(key)

    async def get_key(self, key_id: str) -> ApiKey | None:
        """The key, or None."""
        await self._server.answer()
        return self._keys.get(key_id)

    async def claim_answer(self, answer: RememberedAnswer, *, stale_before_ms: int) -> RememberedAnswer:
        """Reserve an idempotency key; returns the answer or reservation that holds now."""
        await self._server.answer()
        known = self._answers.get(answer.id)
        if known is not None and not known.is_abandoned(now_ms=answer.claimed_at, stale_before_ms=stale_before_ms):
            return known
        successor = answer if known is None else answer.replacing(known)
        self._answers.replace(successor)
        return successor

    async def remember_answer(self, answer: RememberedAnswer) -> None:
        """Store the final answer."""
        await self._server.answer()
        self._answers.replace(answer)

    async def release_answer(self, answer: RememberedAnswer) -> None:
        """Release the reservation, so that the next request with this key is served."""
        await self._server.answer()
        if self._answers.get(answer.id) == answer:
            self._answers.replace(msgspec.structs.replace(answer, claimed_at=0))
