"""What a crowd of clients was answered: each answer by route, how long it took, and whether refusals were obeyed.

It sits below the client library as its transport, so it sees also what the library repeats by itself.
"""

import re
import time
from collections import Counter
from typing import Any

import httpx2
import msgspec

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
REFUSALS = frozenset({429, 503})
EARLY_S = 0.01
"""A client's clock and its timer are not the same clock."""


class Answer(msgspec.Struct, frozen=True):
    """One answer; milliseconds until its head had arrived."""

    route: str
    status: int
    ms: float
    retry_after: str | None


class Answers:
    """All answers of one run."""

    def __init__(self, service_url: str) -> None:
        """Everything that is not below this URL counts as the object store."""
        self._service = httpx2.URL(service_url)
        self.seen: list[Answer] = []
        self.broken: list[str] = []
        """Requests that got no answer at all, with the reason."""
        self.disobeyed = 0
        """Requests repeated before the time that a refusal had named."""

    def transport(self) -> "Recorder":
        """A transport for one client, with connections of its own."""
        return Recorder(self)

    def route_of(self, request: httpx2.Request) -> str:
        """The method and the address without ids; held-back answers are another route than immediate ones."""
        if request.url.netloc != self._service.netloc:
            return f"{request.method} object store"
        path = IDS.sub("{id}", request.url.path).removeprefix("/api/v1")
        return f"{request.method} {path}{' (wait)' if 'prefer' in request.headers else ''}"

    @property
    def refused(self) -> list[Answer]:
        """429 and 503."""
        return [answer for answer in self.seen if answer.status in REFUSALS]

    @property
    def unexpected(self) -> Counter[str]:
        """What no client should see: other errors, refusals that do not say when to come back, broken requests."""
        wrong = [
            f"{answer.route}: {answer.status}"
            for answer in self.seen
            if not (answer.status < 400 or (answer.status in REFUSALS and answer.retry_after))
        ]
        return Counter([*wrong, *self.broken])


class Recorder(httpx2.AsyncBaseTransport):
    """One client's transport, which notes every answer."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._inner = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16))
        self._not_before: dict[tuple[Any, ...], float] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it and note what came back."""
        same = (request.method, str(request.url), request.headers.get("idempotency-key"))
        started = time.perf_counter()
        self._answers.disobeyed += started < self._not_before.pop(same, 0.0) - EARLY_S
        route = self._answers.route_of(request)
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.RequestError as error:
            self._answers.broken.append(f"{route}: {type(error).__name__}")
            raise
        now = time.perf_counter()
        retry_after = response.headers.get("retry-after")
        self._answers.seen.append(Answer(route, response.status_code, (now - started) * 1000, retry_after))
        if response.status_code in REFUSALS and retry_after:
            self._not_before[same] = now + float(retry_after)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()
