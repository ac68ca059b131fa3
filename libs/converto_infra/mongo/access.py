"""`AccessStore` on MongoDB: API keys, and the answers kept for idempotency keys."""

import msgspec

from converto_core.access import ApiKey, RememberedAnswer
from converto_core.errors import DuplicateKey, StoreUnavailable
from converto_infra.mongo.aged import MongoAgedRecords
from converto_infra.mongo.client import CurrentCollection
from converto_infra.mongo.collection import Collection
from converto_infra.resilience import Guard

CLAIM_ROUNDS = 3  # a reservation can be deleted between insert and read, but hardly three times in a row


class MongoAccessStore:
    """`AccessStore` on the collections `api_keys` and `idempotency`."""

    def __init__(self, keys: CurrentCollection, answers: CurrentCollection, guard: Guard) -> None:
        self._keys = Collection(keys, ApiKey, guard)
        self._answers = Collection(answers, RememberedAnswer, guard)
        self.old_answers = MongoAgedRecords(self._answers, since="expires_at")

    async def ensure_indexes(self) -> None:
        """For deleting expired answers."""
        await self.old_answers.ensure_indexes()

    async def put_key(self, key: ApiKey) -> None:
        """Store a key, replacing one with the same id."""
        await self._keys.replace(key)

    async def get_key(self, key_id: str) -> ApiKey | None:
        """The key, or None."""
        return await self._keys.get(key_id)

    async def claim_answer(self, answer: RememberedAnswer, *, stale_before_ms: int) -> RememberedAnswer:
        """Reserve an idempotency key; returns the answer or reservation that holds now."""
        for _ in range(CLAIM_ROUNDS):
            if await self._reserve(answer):
                return answer
            known = await self._answers.get(answer.id)
            if known is None:
                continue
            if not known.is_abandoned(now_ms=answer.claimed_at, stale_before_ms=stale_before_ms):
                return known
            successor = answer.replacing(known)
            if await self._replace(known, successor):
                return successor
        raise StoreUnavailable(
            detail=f"the reservation of {answer.id} changed {CLAIM_ROUNDS} times while it was claimed"
        )

    async def remember_answer(self, answer: RememberedAnswer) -> None:
        """Store the final answer."""
        await self._answers.replace(answer)

    async def release_answer(self, answer: RememberedAnswer) -> None:
        """Release the reservation, so that the next request with this key is served."""
        await self._replace(answer, msgspec.structs.replace(answer, claimed_at=0))

    async def _reserve(self, answer: RememberedAnswer) -> bool:
        try:
            await self._answers.insert(answer)
        except DuplicateKey:
            return False
        return True

    async def _replace(self, known: RememberedAnswer, answer: RememberedAnswer) -> bool:
        unchanged = {"claimed_at": known.claimed_at, "claim": known.claim, "status": known.status}
        return await self._answers.replace(answer, where=unchanged)
