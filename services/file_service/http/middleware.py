"""The outermost ASGI middleware: request ids, security headers, one log line per request."""

import re
import time
from typing import Any
from uuid import uuid4

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from converto_infra.telemetry import context

SAFE_ID = re.compile(rb"^[A-Za-z0-9._:/+=@-]{1,128}$")
QUIET = ("/api/health", "/api/docs")
"""Not logged: load balancers request these every few seconds. Shed requests are not logged either."""

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_UNLESS_SET = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)

log = structlog.get_logger()


class RequestMiddleware:
    """Wraps the whole application, so that even a 404 gets a request id, headers and a log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]
        response = _Response(send, request_id)
        try:
            with context(request_id=request_id):
                await self._app(scope, receive, response.send)
        finally:
            _log(scope, response)


class _Response:
    """Adds the headers to a response and records its status and duration."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self._started = time.perf_counter()
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Pass an ASGI message on, with the headers added to the first one."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._with_headers(list(message.get("headers", ())))
        await self._send(message)

    def duration_ms(self) -> float:
        """Return the milliseconds since the request arrived."""
        return round((time.perf_counter() - self._started) * 1000, 1)

    def _with_headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        present = {name.lower() for name, _ in headers}
        absent = [entry for entry in _UNLESS_SET if entry[0] not in present]
        return [*headers, *_ALWAYS, *absent, (b"x-request-id", self.request_id.encode())]


def _request_id(scope: HTTPScope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SAFE_ID.match(value):
            return value.decode()
    return uuid4().hex


def _log(scope: HTTPScope, response: _Response) -> None:
    path: Any = scope["path"]
    if path.startswith(QUIET) or scope.get("is_shed"):
        return
    log.info(
        "request.served",
        method=scope["method"],
        path=path,
        status=response.status,
        duration_ms=response.duration_ms(),
        request_id=response.request_id,
    )
