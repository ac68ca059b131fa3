"""A program that is installed but does not answer yet: its conversions are accepted and wait (behaviours C3, M15)."""

import hashlib
from typing import Any

import msgspec
import pytest

from converto_core.catalogue import NotAnswering, Offer, Worker
from converto_core.conversion.cache_key import CacheEntry, cache_key
from converto_core.ids import now_ms
from file_service.conversions.offers import Offers
from tests.unit.file_service.conftest import PNG, System, offers, pptx, running_system

ADDRESS = "/api/v1/conversions"
DAY_MS = 24 * 3600 * 1000


def unanswered(offer: Offer, *, since: int | None = None) -> NotAnswering:
    without_version = msgspec.structs.replace(offer, engine_version="")
    return NotAnswering(offer=without_version, since=since or now_ms(), error="no answer within 60 s")


async def put_worker(system: System, *silent: str, worker_id: str = "w1", seen_at: int = 0, since: int = 0) -> None:
    """Store a worker of which these converters do not answer."""
    worker = Worker(
        id=worker_id,
        host="h",
        pid=1,
        started_at=now_ms(),
        seen_at=seen_at or now_ms(),
        slots=2,
        sandbox="bubblewrap",
        offers=tuple(offer for offer in offers() if offer.converter not in silent),
        not_answering=tuple(unanswered(offer, since=since) for offer in offers() if offer.converter in silent),
        not_installed=("f3d",),
    )
    await system.stores.workers.put(worker)


def fresh_offers(system: System) -> Offers:
    """Without what the service has cached for two seconds."""
    return Offers(system.stores.workers, ttl_s=system.settings.offers_ttl_s)


async def routes(system: System, **query: str) -> set[tuple[str, str]]:
    answer = await system.api.get("/api/v1/formats", params=query)
    return {(route["source"], route["target"]) for route in answer.json()["routes"]}


@pytest.fixture
async def slow_system() -> Any:
    async with running_system() as system:
        await put_worker(system, "libreoffice")
        yield system


async def test_conversion_of_a_silent_program_is_accepted_and_pending(slow_system: System) -> None:
    conversion_id = await slow_system.pending(pptx(), "a.pptx", "pdf")
    record = await slow_system.record(conversion_id)

    assert [step.converter for step in record.plan] == ["libreoffice"]
    assert record.status == "pending"


async def test_routes_of_a_silent_program_are_listed_as_sleeping(slow_system: System) -> None:
    assert ("pptx", "pdf") not in await routes(slow_system)
    assert ("png", "webp") in await routes(slow_system)
    assert {("pptx", "pdf"), ("pptx", "png")} <= await routes(slow_system, sleeping="true")


async def test_dry_run_shows_no_version_of_a_silent_program(slow_system: System) -> None:
    plan = await slow_system.api.post("/api/v1/plans", json={"source_format": "pptx", "target_format": "png"})

    steps = [(step["converter"], step["engine_version"]) for step in plan.json()["steps"]]
    assert steps == [("libreoffice", ""), ("pdf-pages", "6")]


async def test_workers_say_what_does_not_answer_and_since_when(slow_system: System) -> None:
    (worker,) = (await slow_system.api.get("/api/v1/workers")).json()["workers"]
    (silent,) = worker["not_answering"]

    assert "libreoffice" not in worker["offers"]
    assert silent["engine"] == "LibreOffice" and silent["family"] == "office"
    assert silent["error"] == "no answer within 60 s" and silent["since"] > 0
    assert "pptx" in silent["sources"] and silent["targets"] == ["pdf"]
    assert worker["not_installed"] == ["f3d"]


async def test_health_names_silent_engines_and_stays_ok(slow_system: System) -> None:
    answer = await slow_system.api.get("/api/health")

    assert answer.status_code == 200 and answer.json()["status"] == "ok"
    assert answer.json()["engines_not_answering"] == ["LibreOffice"]


async def test_engine_that_answers_on_one_worker_is_not_silent(slow_system: System) -> None:
    await put_worker(slow_system, worker_id="w2", seen_at=now_ms() - 1000)
    known = {offer.converter: offer.engine_version for offer in await fresh_offers(slow_system).known()}

    assert (await slow_system.api.get("/api/health")).json()["engines_not_answering"] == []
    assert known["libreoffice"] == "7.4"


async def test_silence_longer_than_the_limit_of_offers_ends_them() -> None:
    async with running_system() as system:
        await put_worker(system, "libreoffice", since=now_ms() - 8 * DAY_MS)

        assert "libreoffice" not in {offer.converter for offer in await fresh_offers(system).known()}


async def test_unknown_version_never_answers_from_the_cache() -> None:
    """I8: the same request hits once the version is known."""
    async with running_system() as system:
        first = (await form(system))["id"]
        done = await system.completed(first, b"result")
        sha256 = hashlib.sha256(PNG).hexdigest()
        key = cache_key(done, contents=(sha256,), offers=offers())
        assert key is not None
        await system.stores.cache.lead(
            CacheEntry(id=key, conversion_id=first, token=done.token, owner=done.owner, created_at=now_ms())
        )
        await put_worker(system, "vips")
        system.service.wiring.offers._read_at = float("-inf")
        silent = await form(system)
        await put_worker(system)
        system.service.wiring.offers._read_at = float("-inf")
        answering = await form(system)

    assert (silent["status"], silent["from_cache"]) == ("pending", False)
    assert (answering["status"], answering["from_cache"]) == ("completed", True)


async def form(system: System) -> dict[str, Any]:
    answer = await system.api.post(ADDRESS, data={"target_format": "webp"}, files={"file": ("a.png", PNG, "image/png")})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()["conversion"]
    return body
