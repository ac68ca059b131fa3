"""Refuses requests above a concurrency limit at once instead of queueing them.

A queue in front of a slow database only grows: its requests time out one after the other, count as failures of the
database and open its circuit breaker. A refusal is cheap, and a client that obeys `Retry-After` is soon served.
"""

import asyncio
import random
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from converto_core.errors import Overloaded
from file_service.http.concurrency_limit import ConcurrencyLimit, Load
from file_service.http.problem_details import send_problem
from file_service.http.requests import PREFIX

RETRY_AFTER_S = (1, 2, 3)
"""One is picked at random, so that clients refused together do not all come back together."""
MISSED_DEADLINE_S = 0.3
"""A 503 that took this long is a missed deadline; an open breaker or a missing worker is reported much faster."""
BODY_TIMEOUT_S = 30.0
"""JSON bodies are a few hundred KB at most; a client that needs longer only blocks others."""


class LoadShedding:
    """ASGI middleware between `RequestMiddleware` and the routes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_requests: int,
        max_streams: int,
        body_timeout_s: float = BODY_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Streams and waits, and forms with files, last as long as the client likes, so they have their own limits."""
        self._app, self._clock, self._body_timeout_s = app, clock, body_timeout_s
        self._requests = ConcurrencyLimit("requests", max_requests, clock)
        self._forms = ConcurrencyLimit("forms", max_requests, clock)
        self._streams = ConcurrencyLimit("streams", max_streams, clock)

    def report(self) -> tuple[Load, ...]:
        """Return the load of requests, forms and streams, in this order."""
        return self._requests.report(), self._forms.report(), self._streams.report()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one ASGI request."""
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)  # health and documentation must answer under load, too
            return
        if self._streams.is_full and _is_wait(scope):
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"prefer"]
        limit = self._limit_for(scope)
        if limit.is_full:
            await self._refuse(limit, scope, send)
            return
        response = _StatusRecorder(send)
        started_s = self._clock()
        with limit.admitted():
            receive = _with_timeout(receive, self._body_timeout_s) if limit is self._requests else receive
            await self._app(scope, receive, response.send)
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE and self._clock() - started_s >= MISSED_DEADLINE_S:
            limit.shrink()
        elif response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            limit.grow()

    def _limit_for(self, scope: HTTPScope) -> ConcurrencyLimit:
        if is_stream(scope):
            return self._streams
        return self._forms if is_form(scope) else self._requests

    async def _refuse(self, limit: ConcurrencyLimit, scope: HTTPScope, send: Send) -> None:
        scope["is_shed"] = True  # type: ignore[typeddict-unknown-key]
        limit.refuse(str(scope.get("request_id", "")))
        error = Overloaded()
        error.retry_after_s = random.choice(RETRY_AFTER_S)  # noqa: S311 - jitter keeps no secret
        await send_problem(error, scope, send)


class _StatusRecorder:
    """Passes a response on and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def is_stream(scope: HTTPScope) -> bool:
    """Return whether the client decides how long the response takes: a stream of events, or `Prefer: wait=N`."""
    is_api = scope["path"].startswith(f"{PREFIX}/")
    return is_api and (scope["path"].endswith("/events") or _is_wait(scope))


def is_form(scope: HTTPScope) -> bool:
    """Return whether the request contains a file."""
    return _header(scope, b"content-type").startswith(b"multipart/")


def _is_wait(scope: HTTPScope) -> bool:
    """Detect `Prefer: wait=N`; the server may ignore it (RFC 7240) and then responds at once."""
    is_one = scope["path"].startswith(f"{PREFIX}/conversions/") and scope["method"] == "GET"
    return is_one and bool(_header(scope, b"prefer"))


def _header(scope: HTTPScope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _with_timeout(receive: Receive, timeout_s: float) -> Receive:
    """Report a disconnect to the application if the body does not arrive in time."""
    deadline_s = asyncio.get_running_loop().time() + timeout_s

    async def receive_in_time() -> Any:
        try:
            async with asyncio.timeout_at(deadline_s):
                return await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}

    return receive_in_time
