"""Health: every dependency is checked, and the checks never hang (C3)."""

import asyncio

import pytest

from file_service.health import KEPT_S, HealthCheck
from tests.unit.fake_clock import FakeClock, until
from tests.unit.file_service.conftest import System


async def test_health_when_all_is_well_then_ok_everywhere(system: System) -> None:
    async with system.client(None) as client:
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
async def test_missing_dependency_is_503_but_ready_without_broker(
    system: System, *, away: str, check: str, ready: int, status: str
) -> None:
    """C3: 503 if a dependency is away; the API is ready without the broker."""
    getattr(system, away).is_away = True

    answers = [await system.api.get(f"/api/health{rest}") for rest in ("/live", "/ready", "")]

    assert [answer.status_code for answer in answers] == [200, ready, 503]
    for answer in answers[1:]:
        assert answer.json()["status"] == status
        assert answer.json()["checks"][check]["status"] == "unavailable"
        assert answer.json()["checks"][check]["error"]


async def test_fault_of_one_queue_leaves_the_service_ready(system: System) -> None:
    """An administrator reads what to do; a load balancer goes on sending requests."""
    fault = "queue conversions.image.bulk exists with type classic instead of quorum. Delete it"
    system.bus.faults = (fault,)

    ready, whole = [await system.api.get(f"/api/health{rest}") for rest in ("/ready", "")]

    assert (ready.status_code, whole.status_code) == (200, 503)
    assert whole.json()["status"] == "degraded"
    assert whole.json()["checks"]["broker"]["status"] == "ok"
    assert whole.json()["checks"]["broker"]["faults"] == [fault]
    assert "faults" not in whole.json()["checks"]["database"]


async def test_wedged_database_client_is_named_while_it_is_renewed(system: System) -> None:
    system.stores.faults = ("the database client is being renewed: it lost its lock",)
    system.stores.is_away = True

    ready = await system.api.get("/api/health/ready")

    assert ready.status_code == 503
    assert ready.json()["checks"]["database"]["faults"] == list(system.stores.faults)


async def test_hanging_dependency_is_reported_in_time(system: System) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    offers = system.service.wiring.offers
    health = HealthCheck({"database": hangs, "broker": hangs}, offers, deadline_s=0.01)
    health.is_prepared = True

    report = await asyncio.wait_for(health.check(), 5)

    assert report.status == "unavailable"
    assert "no answer" in (report.checks["broker"].error or "")


async def test_concurrent_callers_share_one_question(system: System) -> None:
    """Health is never refused, so fifty clients that poll it must not make an overload worse."""
    asked, answered, clock = [], asyncio.Event(), FakeClock()

    async def ping() -> None:
        asked.append("database")
        await answered.wait()

    health = HealthCheck({"database": ping}, system.service.wiring.offers, monotonic=clock.monotonic)
    health.is_prepared = True
    callers = [asyncio.create_task(health.check()) for _ in range(50)]
    await until(lambda: bool(asked))
    callers[0].cancel()
    answered.set()
    reports = await asyncio.wait_for(asyncio.gather(*callers[1:]), 5)
    assert {report.status for report in reports} == {"ok"}
    assert len(asked) == 1

    clock.advance(KEPT_S / 2)
    await health.check()
    assert len(asked) == 1

    clock.advance(KEPT_S / 2)
    await health.check()
    assert len(asked) == 2


async def test_ready_when_start_up_is_not_done_then_503(system: System) -> None:
    system.service.wiring.health.is_prepared = False

    assert (await system.api.get("/api/health/ready")).status_code == 503
    assert (await system.api.get("/api/health/live")).status_code == 200
