"""No answer of the API takes longer than two seconds, whatever a dependency does (C8)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from litestar.types import Receive, Scope, Send
from structlog.testing import capture_logs

from converto_core.errors import StoreUnavailable
from converto_infra import time_budget
from converto_infra.resilience import Guard
from file_service.http.time_limit import FORM_BYTES_PER_S, TimeLimit
from tests.unit.file_service.conftest import PNG, problem, running_system

LATEST_S = 2.0


class Client:
    """Sends one request to an ASGI application and keeps what comes back."""

    def __init__(self, *chunks: bytes, pause_s: float = 0.0, content_type: bytes = b"application/json") -> None:
        self.chunks, self._pause_s, self._content_type = list(chunks), pause_s, content_type
        self.sent: list[Any] = []

    @property
    def status(self) -> int:
        (start,) = [message for message in self.sent if message["type"] == "http.response.start"]
        return int(start["status"])

    async def ask(self, app: TimeLimit, path: str = "/api/v1/conversions") -> float:
        """Return the seconds until the answer."""
        headers = [(b"content-type", self._content_type)]
        scope: Any = {"type": "http", "path": path, "method": "POST", "headers": headers, "request_id": "r-1"}
        loop = asyncio.get_running_loop()
        began_at_s = loop.time()
        await app(scope, self._receive, self._send)
        return loop.time() - began_at_s

    async def _receive(self) -> Any:
        await asyncio.sleep(self._pause_s)
        return {"type": "http.request", "body": self.chunks.pop(0), "more_body": bool(self.chunks)}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


async def answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def guard() -> Guard:
    return Guard("database", StoreUnavailable, timeout_s=0.1, failures=1000, reset_s=1)


async def test_calls_of_one_request_share_its_time() -> None:
    """Twenty calls of 0.05 s each are all within their own deadline, and too long together."""
    left: list[float] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for _ in range(20):
                await guard().run(lambda: asyncio.sleep(0.05))
        except StoreUnavailable as error:
            left.append(time_budget.left_s())
            assert "used up" in error.detail or "no answer within" in error.detail
        await answer(send)

    client = Client()
    took_s = await client.ask(TimeLimit(app, seconds=0.2))

    assert client.status == 200
    assert 0.15 < took_s < 0.4
    assert left[0] <= 0.05


async def test_request_that_waits_elsewhere_is_given_up() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    client = Client()
    with capture_logs() as logs:
        took_s = await client.ask(TimeLimit(app, seconds=0.05, give_up_after_s=0.05))
    await asyncio.wait_for(ended.wait(), 5)

    assert client.status == 503
    assert 0.1 <= took_s < 1
    assert (b"retry-after", b"1") in client.sent[0]["headers"]
    assert b'"code":"request_timed_out"' in client.sent[1]["body"]
    assert [entry["event"] for entry in logs] == ["request.timed_out"]


async def test_request_that_ignores_its_end_is_answered_once() -> None:
    release, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        await answer(send)
        ended.set()

    client = Client()
    await client.ask(TimeLimit(app, seconds=0.02, give_up_after_s=0.01))
    release.set()
    await asyncio.wait_for(ended.wait(), 5)

    assert client.status == 503
    assert len(client.sent) == 2


async def test_time_of_the_body_does_not_count() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await guard().run(lambda: asyncio.sleep(0))
        await answer(send)

    client = Client(*[b"x"] * 5, pause_s=0.08)
    took_s = await client.ask(TimeLimit(app, seconds=0.1, give_up_after_s=0.05))

    assert client.status == 200
    assert took_s >= 0.4


async def test_form_has_time_to_pass_its_file_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0.3)
        await answer(send)

    limit = TimeLimit(app, seconds=0.05, give_up_after_s=0.05)
    body = b"x" * int(0.4 * FORM_BYTES_PER_S)
    form, document = Client(body, content_type=b"multipart/form-data; boundary=x"), Client(body)
    await form.ask(limit)
    await document.ask(limit)

    assert (form.status, document.status) == (200, 503)


@pytest.mark.parametrize("path", ["/api/v1/conversions/x/events", "/api/v1/events"])
async def test_streams_last_as_long_as_the_client_likes(path: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        assert time_budget.left_s() == float("inf")
        await answer(send)

    client = Client()
    await client.ask(TimeLimit(app, seconds=0.01, give_up_after_s=0.01), path)

    assert client.status == 200


async def test_response_that_has_begun_is_not_cut_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    client = Client()
    await client.ask(TimeLimit(app, seconds=0.01, give_up_after_s=0.01))

    assert len(client.sent) == 2


async def test_background_work_of_a_request_has_no_time_limit() -> None:
    """The history of a change is written after the response, in a task that the request has started."""
    working: list[asyncio.Task[float]] = []

    async def work() -> float:
        await asyncio.sleep(0.05)
        return await guard().run(read_left)

    async def read_left() -> float:
        return time_budget.left_s()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        working.append(asyncio.create_task(work()))
        await answer(send)

    await Client().ask(TimeLimit(app, seconds=0.01))

    assert await working[0] == float("inf")


async def test_error_of_a_request_reaches_its_caller() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await Client().ask(TimeLimit(app, seconds=1))


async def test_cancelled_request_cancels_its_work() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    asking = asyncio.create_task(Client().ask(TimeLimit(app, seconds=10)))
    await began.wait()
    asking.cancel()

    await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda api: api.get("/api/v1/conversions"), id="list"),
        pytest.param(
            lambda api: api.post("/api/v1/files", json={"filename": "a.png", "size_bytes": len(PNG)}), id="post"
        ),
        pytest.param(lambda api: api.get("/api/health/ready"), id="health"),
        pytest.param(lambda api: api.get("/api/v1/workers"), id="workers"),
    ],
)
async def test_hanging_database_costs_each_request_two_seconds_at_most(ask: Callable[[Any], Awaitable[Any]]) -> None:
    async with running_system() as system:
        await system.api.get("/api/v1/whoami")
        system.stores.hold()
        loop = asyncio.get_running_loop()
        began_at_s = loop.time()

        answered = await ask(system.api)

        took_s = loop.time() - began_at_s
        system.stores.resume()
        assert answered.status_code == 503
        assert took_s < LATEST_S + 0.3  # a busy machine


async def test_post_that_timed_out_is_repeated_with_its_key() -> None:
    """Whatever the first request has stored is found by its ids: one file, one answer."""
    async with running_system(request_timeout_s=0.1) as system:
        await system.api.get("/api/v1/whoami")
        headers, body = {"Idempotency-Key": "k-1"}, {"filename": "a.png", "size_bytes": len(PNG)}
        system.stores.hold()
        first = await system.api.post("/api/v1/files", json=body, headers=headers)
        system.stores.resume()

        async def is_answered() -> bool:
            answered = await system.api.post("/api/v1/files", json=body, headers=headers)
            return bool(answered.status_code == 201)

        problem(first, 503, "request_timed_out")
        await system.until(is_answered)
        assert len((await system.api.get("/api/v1/files")).json()["files"]) == 1
