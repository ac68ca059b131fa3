"""Health: each dependency is checked, the checks never hang (C3)."""

import asyncio

import pytest

from file_service import health
from tests.unit.file_service.conftest import World


async def test_health_when_all_is_well_then_ok_everywhere(world: World) -> None:
    async with world.client(None) as client:
        live, ready, whole = [await client.get(f"/api/health{rest}") for rest in ("/live", "/ready", "")]

    assert live.json() == {"status": "ok"}
    assert ready.status_code == whole.status_code == 200
    assert whole.json()["status"] == "ok"
    assert set(whole.json()["checks"]) == {"database", "broker", "object_store"}
    assert whole.json()["checks"]["database"]["latency_ms"] >= 0
    assert whole.json()["sandbox"] == "bubblewrap"


@pytest.mark.parametrize(
    ("away", "check", "ready", "status"),
    [
        ("stores", "database", 503, "unavailable"),
        ("objects", "object_store", 503, "unavailable"),
        ("bus", "broker", 200, "degraded"),
    ],
)
async def test_health_when_one_is_away_then_503_and_ready_only_without_broker(
    world: World, *, away: str, check: str, ready: int, status: str
) -> None:
    """C3: 503 when one is away; the API itself can go on without the broker."""
    getattr(world, away).is_away = True

    answers = [await world.api.get(f"/api/health{rest}") for rest in ("/live", "/ready", "")]

    assert [answer.status_code for answer in answers] == [200, ready, 503]
    for answer in answers[1:]:
        assert answer.json()["status"] == status
        assert answer.json()["checks"][check]["status"] == "unavailable"
        assert answer.json()["checks"][check]["error"]


async def test_health_when_a_dependency_hangs_then_answers_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "CHECK_DEADLINE_S", 0.01)
    monkeypatch.setattr(world.service.wiring.doctor, "_pings", {"database": hangs, "broker": hangs})

    answer = await asyncio.wait_for(world.api.get("/api/health"), 5)

    assert answer.status_code == 503
    assert "no answer" in answer.json()["checks"]["broker"]["error"]


async def test_ready_when_start_up_is_not_done_then_503(world: World) -> None:
    world.service.wiring.doctor.is_prepared = False

    assert (await world.api.get("/api/health/ready")).status_code == 503
    assert (await world.api.get("/api/health/live")).status_code == 200
