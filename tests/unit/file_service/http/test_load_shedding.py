"""What happens above the bounds: refusals at once, cheap and told once, and ordinary service afterwards (C8, I15)."""

import asyncio
from typing import Any

import pytest
import structlog
from litestar.types import Receive, Scope, Send
from prometheus_client import REGISTRY

from file_service.http import load_shedding as shedding_module
from file_service.http.concurrency_limit import LEAST, QUIET_S, SHRINK_EVERY_S, ConcurrencyLimit
from file_service.http.load_shedding import WAITED_IN_VAIN_S, LoadShedding
from tests.unit.file_service.conftest import PNG, Events, problem, running_world

AT_ONCE = 500


async def test_requests_when_the_database_is_slow_then_few_wait_and_the_rest_is_refused_at_once() -> None:
    """Until the database answers again nothing is queued beyond the bound; then everything works as before."""
    async with running_world(max_requests=40) as world:
        await world.api.get("/api/v1/whoami")
        counted = shed_so_far()
        before = world.stores.waiting
        world.stores.hold()
        with structlog.testing.capture_logs() as logged:
            asked = [asyncio.create_task(world.api.get("/api/v1/conversions")) for _ in range(AT_ONCE)]

            async def excess_is_answered() -> bool:
                return sum(task.done() for task in asked) == AT_ONCE - 40

            await world.until(excess_is_answered)
            assert world.stores.waiting - before <= 40
            assert (await world.api.get("/api/health/live")).status_code == 200
            world.stores.resume()
            answers = await asyncio.gather(*asked)

        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) == AT_ONCE - 40
        for answer in refused:
            assert problem(answer, 503, "overloaded")["retryable"] is True
            assert 1 <= int(answer.headers["retry-after"]) <= 3
        assert len({answer.headers["retry-after"] for answer in refused}) > 1
        assert [entry["event"] for entry in logged].count("requests.shed") == 1
        assert [entry["event"] for entry in logged].count("request.served") == 40
        assert world.service.shedding.report()[0].refused == AT_ONCE - 40
        assert shed_so_far() - counted == AT_ONCE - 40
        assert (await world.api.get("/api/v1/conversions")).status_code == 200
        assert world.service.shedding.report()[0].active == 0


async def test_request_when_refused_then_neither_key_nor_body_was_looked_at() -> None:
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


async def test_streams_when_all_are_taken_then_no_more_of_them_but_requests_go_on() -> None:
    async with running_world(max_live_streams=1, max_requests=5) as world:
        conversion_id = await world.pending()
        async with Events(world, "/api/v1/events") as stream:
            assert stream.status == 200
            problem(await world.api.get("/api/v1/events"), 503, "overloaded")
            problem(await world.api.get(f"/api/v1/conversions/{conversion_id}/events"), 503, "overloaded")
            waited = await world.api.get(f"/api/v1/conversions/{conversion_id}", headers={"Prefer": "wait=30"})
            listed = await world.api.get("/api/v1/conversions")

        assert (waited.status_code, listed.status_code) == (200, 200)
        assert "preference-applied" not in waited.headers
        assert waited.headers["retry-after"] == "1"

        async def stream_is_over() -> bool:
            return world.service.shedding.report()[2].active == 0

        await world.until(stream_is_over)
        async with Events(world, "/api/v1/events") as again:
            assert again.status == 200


async def test_forms_when_all_places_are_taken_by_them_then_other_requests_go_on() -> None:
    async with running_world(max_requests=1) as world:
        await world.api.get("/api/v1/whoami")
        world.stores.hold()
        form: dict[str, Any] = {"data": {"target_format": "webp"}, "files": {"file": ("a.png", PNG, "image/png")}}
        slow = asyncio.create_task(world.api.post("/api/v1/conversions", **form))

        async def form_is_held() -> bool:
            return world.service.shedding.report()[1].active == 1

        await world.until(form_is_held)
        problem(await world.api.post("/api/v1/conversions", **form), 503, "overloaded")
        listed = asyncio.create_task(world.api.get("/api/v1/conversions"))
        world.stores.resume()

        assert (await listed).status_code == 200
        assert (await slow).status_code == 201


async def test_body_when_it_never_ends_then_its_place_is_free_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shedding_module, "BODY_WITHIN_S", 0.05)
    async with running_world(max_requests=1) as world:

        async def endless() -> Any:
            yield b'{"filename": '
            await asyncio.Event().wait()

        sent: list[Any] = []
        body = endless()

        async def receive() -> Any:
            return {"type": "http.request", "body": await anext(body), "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = _scope("/api/v1/files", method="POST", headers=[(b"x-api-key", world.key.encode())])
        await asyncio.wait_for(world.service.asgi(scope, receive, send), 5)

        assert sent[0]["status"] == 400
        assert (await world.api.get("/api/v1/files")).status_code == 200


async def test_burst_when_it_ends_and_another_begins_then_each_is_told_once() -> None:
    now, release = 0.0, asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()

    async def send(message: Any) -> None:
        """The answer does not matter here."""

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

    told = [(entry["event"], entry.get("refused")) for entry in logged]
    assert told == [("requests.shed", None), ("requests.shed_no_more", 10)] * 2


def test_places_when_servers_are_out_of_breath_then_fewer_until_requests_are_served_again() -> None:
    now = 0.0
    places = ConcurrencyLimit("requests", 32, lambda: now)
    for _ in range(10):
        places.shrink()
    assert places.report().limit == 22, "those who were let in together are one sign"

    for _ in range(20):
        now += SHRINK_EVERY_S
        places.shrink()
    assert places.report().limit == LEAST

    for _ in range(32 * 32):
        places.grow()
    assert places.report().limit == 32


@pytest.mark.parametrize(
    ("took_s", "status", "left"), [(WAITED_IN_VAIN_S, 503, 5), (0.0, 503, 8), (WAITED_IN_VAIN_S, 404, 8)]
)
async def test_request_when_it_waited_in_vain_then_the_next_ones_find_fewer_places(
    took_s: float, status: int, left: int
) -> None:
    """An open breaker is told at once, and is no reason."""
    now = 0.0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal now
        now += took_s
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def send(message: Any) -> None:
        """The answer does not matter here."""

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
