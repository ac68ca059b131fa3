"""Bounds on what is served at once: what comes on top is refused at once instead of queued. It knows no use case.

A queue in front of a slow database only grows: its requests time out one after the other, count as failures of the
database and open its breaker. A refusal costs nothing, and a client that obeys `Retry-After` is served soon.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from converto_core.errors import Overloaded
from converto_infra.metrics import SERVED_NOW, SHED
from file_service.problem import MEDIA_TYPE, headers_of, problem_of
from file_service.requests import PREFIX

RETRY_AFTER_S = (1, 2, 3)
"""Drawn by lot, so that all who were refused together do not come back together."""
QUIET_S = 1.0
"""A burst is over when nothing was refused for this long."""
BODY_WITHIN_S = 30.0
"""A JSON body has at most some hundred KB: whoever needs longer only holds a place."""

log = structlog.get_logger()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests of a kind are being served, how many may be, and how many were refused since the start."""

    kind: str
    active: int
    limit: int
    refused: int


class Places:
    """As many places as requests of one kind may be served at once."""

    def __init__(self, kind: str, limit: int, clock: Callable[[], float]) -> None:
        """`kind` is for the log."""
        self._kind, self._limit, self._clock = kind, limit, clock
        self._active = self._refused = self._refused_in_burst = 0
        self._refused_at_s = 0.0

    @property
    def is_full(self) -> bool:
        """True when another one has to be refused."""
        return self._active >= self._limit

    def report(self) -> Load:
        """Counts, for metrics and tests."""
        return Load(kind=self._kind, active=self._active, limit=self._limit, refused=self._refused)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one place."""
        self._end_burst()
        self._active += 1
        self._tell()
        try:
            yield
        finally:
            self._active -= 1
            self._tell()

    def refuse(self, request_id: str) -> None:
        """Count one refusal; the first of a burst is worth a line in the log."""
        self._refused += 1
        SHED.labels(self._kind).inc()
        self._refused_in_burst += 1
        self._refused_at_s = self._clock()
        if self._refused_in_burst == 1:
            log.warning("requests.shed", kind=self._kind, limit=self._limit, request_id=request_id)

    def _tell(self) -> None:
        SERVED_NOW.labels(self._kind).set(self._active)

    def _end_burst(self) -> None:
        if self._refused_in_burst and self._clock() - self._refused_at_s >= QUIET_S:
            log.info("requests.shed_no_more", kind=self._kind, refused=self._refused_in_burst)
            self._refused_in_burst = 0


class Shedding:
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
        self._app = app
        self._requests = Places("requests", max_requests, clock)
        self._forms = Places("forms", max_requests, clock)
        self._streams = Places("streams", max_streams, clock)

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
        with places.taken():
            await self._app(scope, _in_time(receive) if places is self._requests else receive, send)

    def _places_for(self, scope: HTTPScope) -> Places:
        if scope["path"].endswith("/events") or _is_wait(scope):
            return self._streams
        return self._forms if _header(scope, b"content-type").startswith(b"multipart/") else self._requests

    async def _refuse(self, places: Places, scope: HTTPScope, send: Send) -> None:
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
