"""In-memory twin of `AccessStore`."""

from converto_core.access import ApiKey, RememberedAnswer
from converto_infra.memory_collection import Collection, MemoryServer


class MemoryAccessStore:
    """Twin of `AccessStore`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._keys = Collection(ApiKey)
        self._answers = Collection(RememberedAnswer)

    async def put_key(self, key: ApiKey) -> None:
        """Store a key."""
        await self._server.answer()
        self._keys.replace(key)

    async def get_key(self, key_id: str) -> ApiKey | None:
        """The key, or None."""
        await self._server.answer()
        return self._keys.get(key_id)

    async def claim_answer(self, answer: RememberedAnswer, *, stale_before_ms: int) -> RememberedAnswer | None:
        """Reserve an idempotency key: None when it is now ours."""
        await self._server.answer()
        known = self._answers.get(answer.id)
        if known is not None and not known.is_given_up(now_ms=answer.claimed_at, stale_before_ms=stale_before_ms):
            return known
        self._answers.replace(answer)
        return None

    async def remember_answer(self, answer: RememberedAnswer) -> None:
        """Store the finished answer."""
        await self._server.answer()
        self._answers.replace(answer)

    async def forget_answer(self, answer_id: str) -> None:
        """Give a reservation back."""
        await self._server.answer()
        self._answers.delete(answer_id)
