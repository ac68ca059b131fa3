"""Bounds on what is served at once: what comes on top is refused at once instead of queued. It knows no use case.

A queue in front of a slow database only grows: its requests time out one after the other, count as failures of the
database and open its breaker. A refusal costs nothing, and a client that obeys `Retry-After` is served soon.
"""

import asyncio
import random
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from converto_core.errors import Overloaded
from file_service.http.concurrency_limit import ConcurrencyLimit, Load
from file_service.http.problem_details import MEDIA_TYPE, headers_of, problem_of
from file_service.http.requests import PREFIX

RETRY_AFTER_S = (1, 2, 3)
"""Drawn by lot, so that all who were refused together do not come back together."""
WAITED_IN_VAIN_S = 0.3
"""A 503 after this time is a deadline that was missed; an open breaker and a missing worker are told at once."""
BODY_WITHIN_S = 30.0
"""A JSON body has at most some hundred KB: whoever needs longer only holds a place."""


class LoadShedding:
    """The layer between the border and the routes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_requests: int,
        max_streams: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """What lasts as long as its client likes has places of its own: streams and waits, and forms with files."""
        self._app, self._clock = app, clock
        self._requests = ConcurrencyLimit("requests", max_requests, clock)
        self._forms = ConcurrencyLimit("forms", max_requests, clock)
        self._streams = ConcurrencyLimit("streams", max_streams, clock)

    def report(self) -> tuple[Load, ...]:
        """One for each kind: requests, forms, streams."""
        return self._requests.report(), self._forms.report(), self._streams.report()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)  # health and documentation: who asks wants to know how we are
            return
        if self._streams.is_full and _is_wait(scope):
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"prefer"]
        places = self._places_for(scope)
        if places.is_full:
            await self._refuse(places, scope, send)
            return
        answer = _Answer(send)
        started_s = self._clock()
        with places.taken():
            await self._app(scope, _in_time(receive) if places is self._requests else receive, answer.send)
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE and self._clock() - started_s >= WAITED_IN_VAIN_S:
            places.shrink()
        elif answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            places.grow()

    def _places_for(self, scope: HTTPScope) -> ConcurrencyLimit:
        if scope["path"].endswith("/events") or _is_wait(scope):
            return self._streams
        return self._forms if _header(scope, b"content-type").startswith(b"multipart/") else self._requests

    async def _refuse(self, places: ConcurrencyLimit, scope: HTTPScope, send: Send) -> None:
        request_id = str(scope.get("request_id", ""))
        scope["is_shed"] = True  # type: ignore[typeddict-unknown-key]
        places.refuse(request_id)
        error = Overloaded()
        error.retry_after_s = random.choice(RETRY_AFTER_S)  # noqa: S311 - jitter keeps no secret
        body = msgspec.json.encode(problem_of(error, instance=scope["path"], request_id=request_id))
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), **headers_of(error)}
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": error.http_status, "headers": encoded})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class _Answer:
    """Passes an answer on and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _is_wait(scope: HTTPScope) -> bool:
    """A wish that may be passed over (RFC 7240): without a place for it the answer simply comes at once."""
    is_one = scope["path"].startswith(f"{PREFIX}/conversions/") and scope["method"] == "GET"
    return is_one and bool(_header(scope, b"prefer"))


def _header(scope: HTTPScope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _in_time(receive: Receive) -> Receive:
    """The body, or the end of the connection when the body does not arrive in time."""
    deadline_s = asyncio.get_running_loop().time() + BODY_WITHIN_S

    async def receive_in_time() -> Any:
        try:
            async with asyncio.timeout_at(deadline_s):
                return await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}

    return receive_in_time
