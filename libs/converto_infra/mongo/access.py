"""`AccessStore` on MongoDB: API keys and remembered answers."""

import msgspec
from pymongo.asynchronous.collection import AsyncCollection

from converto_core.access import ApiKey, RememberedAnswer
from converto_core.errors import DuplicateKey, StoreUnavailable
from converto_infra.mongo.aged import MongoAgedRecords
from converto_infra.mongo.collection import Collection, Document, document_of, record_or_none
from converto_infra.resilience import Guard

CLAIM_ROUNDS = 3  # a reservation can vanish between insert and read; more often than this is no accident


class MongoAccessStore:
    """`AccessStore` on the collections `api_keys` and `idempotency`."""

    def __init__(self, keys: AsyncCollection[Document], answers: AsyncCollection[Document], guard: Guard) -> None:
        self._keys, self._answers = Collection(keys, guard), Collection(answers, guard)
        self.old_answers = MongoAgedRecords(self._answers, since="expires_at")

    async def ensure_indexes(self) -> None:
        """For the sweep of expired answers."""
        await self.old_answers.ensure_indexes()

    async def put_key(self, key: ApiKey) -> None:
        """Store a key, replacing one with the same id."""
        await self._keys.replace(document_of(key))

    async def get_key(self, key_id: str) -> ApiKey | None:
        """The key, or None."""
        return record_or_none(await self._keys.get({"_id": key_id}), ApiKey)

    async def claim_answer(self, answer: RememberedAnswer, *, stale_before_ms: int) -> RememberedAnswer:
        """Reserve an idempotency key; what is kept for it now."""
        for _ in range(CLAIM_ROUNDS):
            if await self._reserve(answer):
                return answer
            known = record_or_none(await self._answers.get({"_id": answer.id}), RememberedAnswer)
            if known is None:
                continue
            if not known.is_abandoned(now_ms=answer.claimed_at, stale_before_ms=stale_before_ms):
                return known
            successor = answer.replacing(known)
            if await self._replace(known, successor):
                return successor
        raise StoreUnavailable(detail=f"reservation {answer.id} changes too fast")

    async def remember_answer(self, answer: RememberedAnswer) -> None:
        """Store the finished answer."""
        await self._answers.replace(document_of(answer))

    async def release_answer(self, answer: RememberedAnswer) -> None:
        """Let the next one serve the request."""
        await self._replace(answer, msgspec.structs.replace(answer, claimed_at=0))

    async def _reserve(self, answer: RememberedAnswer) -> bool:
        try:
            await self._answers.insert(document_of(answer))
        except DuplicateKey:
            return False
        return True

    async def _replace(self, known: RememberedAnswer, answer: RememberedAnswer) -> bool:
        unchanged = {"claimed_at": known.claimed_at, "claim": known.claim, "status": known.status}
        return await self._answers.replace(document_of(answer), where=unchanged)
