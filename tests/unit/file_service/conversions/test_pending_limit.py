"""The number of pending conversions is limited per owner (C8, I15)."""

from converto_core.ports.stores import ConversionStore
from converto_infra.memory.stores import MemoryStores
from file_service.conversions.pending_limit import CACHE_S, PendingLimit
from tests.contract.samples import a_pending_conversion
from tests.unit.file_service.conftest import PNG, problem, running_system

NEW = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": len(PNG)}}


async def test_create_above_the_limit_is_429_until_one_ends() -> None:
    async with running_system(max_pending_per_owner=2) as system:
        waiting = [await system.pending() for _ in range(2)]
        limit = system.service.wiring.submission._pending_limit
        limit._cache.clear()

        refused = await system.api.post("/api/v1/conversions", json=NEW, headers={"Idempotency-Key": "k"})
        form = await system.api.post(
            "/api/v1/conversions", data={"target_format": "webp"}, files={"file": ("a.png", PNG, "image/png")}
        )
        strangers = await system.stranger.post("/api/v1/conversions", json=NEW)
        await system.completed(waiting[0])
        limit._cache.clear()
        repeated = await system.api.post("/api/v1/conversions", json=NEW, headers={"Idempotency-Key": "k"})

    for answer in (refused, form):
        assert problem(answer, 429, "too_many_pending")["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1
    assert (strangers.status_code, repeated.status_code) == (201, 201)


async def test_limit_when_asked_often_then_looks_once_a_second() -> None:
    class Counting:
        looks = 0

        async def has_pending(self, owner: str, *, at_least: int) -> bool:
            self.looks += 1
            return await stores.conversions.has_pending(owner, at_least=at_least)

    stores, counting, now = MemoryStores(), Counting(), 0.0
    conversions: ConversionStore = counting  # type: ignore[assignment]
    limit = PendingLimit(conversions, most=1, clock=lambda: now)
    await stores.conversions.insert(a_pending_conversion(owner="bob"))

    for _ in range(100):
        await limit.check("ann")
    assert counting.looks == 1

    now += CACHE_S
    await limit.check("ann")
    assert counting.looks == 2
