"""Load shedding: cheap immediate refusals, logged once, and normal service afterwards (C8, I15)."""

import asyncio
from typing import Any

import pytest
import structlog
from litestar.types import Receive, Scope, Send
from prometheus_client import REGISTRY

from file_service.http.concurrency_limit import MIN_LIMIT, QUIET_S, SHRINK_EVERY_S, ConcurrencyLimit
from file_service.http.load_shedding import MISSED_DEADLINE_S, LoadShedding
from tests.unit.file_service.conftest import PNG, Events, problem, running_system

AT_ONCE = 500


async def test_slow_database_sheds_requests_above_the_limit() -> None:
    """While the database hangs, nothing is queued above the limit; afterwards everything works as before."""
    async with running_system(max_requests=40) as system:
        await system.api.get("/api/v1/whoami")
        counted = shed_so_far()
        before = system.stores.waiting
        system.stores.hold()
        with structlog.testing.capture_logs() as logged:
            asked = [asyncio.create_task(system.api.get("/api/v1/conversions")) for _ in range(AT_ONCE)]

            async def excess_is_answered() -> bool:
                return sum(task.done() for task in asked) == AT_ONCE - 40

            await system.until(excess_is_answered)
            assert system.stores.waiting - before <= 40
            assert (await system.api.get("/api/health/live")).status_code == 200
            system.stores.resume()
            answers = await asyncio.gather(*asked)

        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) == AT_ONCE - 40
        for answer in refused:
            assert problem(answer, 503, "overloaded")["retryable"] is True
            assert 1 <= int(answer.headers["retry-after"]) <= 3
        assert len({answer.headers["retry-after"] for answer in refused}) > 1
        assert [entry["event"] for entry in logged].count("requests.shed") == 1
        assert [entry["event"] for entry in logged].count("request.served") == 40
        assert system.service.shedding.report()[0].refused == AT_ONCE - 40
        assert shed_so_far() - counted == AT_ONCE - 40
        assert (await system.api.get("/api/v1/conversions")).status_code == 200
        assert system.service.shedding.report()[0].active == 0


async def test_refused_request_is_neither_authenticated_nor_read() -> None:
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()

    async def receive() -> Any:
        raise AssertionError("the body of a refused request is not read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    layer = LoadShedding(app, max_requests=1, max_streams=1)
    first = asyncio.create_task(layer(_scope("/api/v1/files"), receive, send))
    await asyncio.sleep(0)

    await layer(_scope("/api/v1/files"), receive, send)

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 503
    release.set()
    await first


async def test_place_when_its_request_breaks_then_free_again() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    layer = LoadShedding(app, max_requests=1, max_streams=1)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await layer(_scope("/api/v1/files"), None, None)  # type: ignore[arg-type]
    assert [(load.active, load.refused) for load in layer.report()] == [(0, 0)] * 3


async def test_full_stream_limit_does_not_affect_requests() -> None:
    async with running_system(max_live_streams=1, max_requests=5) as system:
        conversion_id = await system.pending()
        async with Events(system, "/api/v1/events") as stream:
            assert stream.status == 200
            problem(await system.api.get("/api/v1/events"), 503, "overloaded")
            problem(await system.api.get(f"/api/v1/conversions/{conversion_id}/events"), 503, "overloaded")
            waited = await system.api.get(f"/api/v1/conversions/{conversion_id}", headers={"Prefer": "wait=30"})
            listed = await system.api.get("/api/v1/conversions")

        assert (waited.status_code, listed.status_code) == (200, 200)
        assert "preference-applied" not in waited.headers
        assert waited.headers["retry-after"] == "1"

        async def stream_is_over() -> bool:
            return system.service.shedding.report()[2].active == 0

        await system.until(stream_is_over)
        async with Events(system, "/api/v1/events") as again:
            assert again.status == 200


async def test_full_form_limit_does_not_affect_requests() -> None:
    async with running_system(max_requests=1) as system:
        await system.api.get("/api/v1/whoami")
        system.stores.hold()
        form: dict[str, Any] = {"data": {"target_format": "webp"}, "files": {"file": ("a.png", PNG, "image/png")}}
        slow = asyncio.create_task(system.api.post("/api/v1/conversions", **form))

        async def form_is_held() -> bool:
            return system.service.shedding.report()[1].active == 1

        await system.until(form_is_held)
        problem(await system.api.post("/api/v1/conversions", **form), 503, "overloaded")
        listed = asyncio.create_task(system.api.get("/api/v1/conversions"))
        system.stores.resume()

        assert (await listed).status_code == 200
        assert (await slow).status_code == 201


async def test_endless_body_times_out_and_frees_its_slot() -> None:
    async with running_system(max_requests=1) as system:
        shedding = LoadShedding(system.service.shedding._app, max_requests=1, max_streams=1, body_timeout_s=0.05)

        async def endless() -> Any:
            yield b'{"filename": '
            await asyncio.Event().wait()

        sent: list[Any] = []
        body = endless()

        async def receive() -> Any:
            return {"type": "http.request", "body": await anext(body), "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = _scope("/api/v1/files", method="POST", headers=[(b"x-api-key", system.key.encode())])
        await asyncio.wait_for(shedding(scope, receive, send), 5)

        assert sent[0]["status"] == 400
        assert shedding.report()[0].active == 0
        assert (await system.api.get("/api/v1/files")).status_code == 200


async def test_each_burst_of_refusals_is_logged_once() -> None:
    now, release = 0.0, asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()

    async def send(message: Any) -> None:
        """Ignore the response."""

    layer = LoadShedding(app, max_requests=1, max_streams=1, clock=lambda: now)
    with structlog.testing.capture_logs() as logged:
        for _ in range(2):
            release.clear()
            first = asyncio.create_task(layer(_scope("/api/v1/files"), None, send))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            for _ in range(10):
                await layer(_scope("/api/v1/files"), None, send)  # type: ignore[arg-type]
            release.set()
            await first
            now += QUIET_S
        await layer(_scope("/api/v1/files"), None, send)  # type: ignore[arg-type]

    events = [(entry["event"], entry.get("refused")) for entry in logged]
    assert events == [("requests.shed", None), ("requests.shed_no_more", 10)] * 2


def test_limit_shrinks_on_missed_deadlines_and_grows_again() -> None:
    now = 0.0
    limit = ConcurrencyLimit("requests", 32, lambda: now)
    for _ in range(10):
        limit.shrink()
    assert limit.report().limit == 22, "requests admitted together count as one sign"

    for _ in range(20):
        now += SHRINK_EVERY_S
        limit.shrink()
    assert limit.report().limit == MIN_LIMIT

    for _ in range(32 * 32):
        limit.grow()
    assert limit.report().limit == 32


@pytest.mark.parametrize(
    ("took_s", "status", "left"), [(MISSED_DEADLINE_S, 503, 5), (0.0, 503, 8), (MISSED_DEADLINE_S, 404, 8)]
)
async def test_missed_deadline_shrinks_the_limit(took_s: float, status: int, left: int) -> None:
    """A fast 503, as from an open circuit breaker, does not shrink the limit."""
    now = 0.0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal now
        now += took_s
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def send(message: Any) -> None:
        """Ignore the response."""

    layer = LoadShedding(app, max_requests=8, max_streams=8, clock=lambda: now)
    await layer(_scope("/api/v1/files"), None, send)  # type: ignore[arg-type]

    assert [load.limit for load in layer.report()] == [left, 8, 8]


def shed_so_far() -> float:
    return REGISTRY.get_sample_value("converto_requests_shed_total", {"kind": "requests"}) or 0.0


def _scope(path: str, method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None) -> Any:
    return {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "server": ("converto.test", 80), "client": None,
        "headers": headers or [], "request_id": "r-1",
    }  # fmt: skip
