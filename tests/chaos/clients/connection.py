"""How a client reaches the service: the one place that builds its HTTP client, and requests that are repeated."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec

from tests.chaos.history.journal import Journal
from tests.chaos.history.recorder import RecordingTransport
from tests.chaos.report.entries import Noted, Probe
from tests.chaos.report.journal import RunJournal

API_PATH = "/api/v1"
CLIENT_HEADER = "X-Chaos-Client"
"""Names the client in each of its requests by the label of its source."""
REQUEST_TIMEOUT_S = 5.0
RETRY_PAUSE_S, LONGEST_RETRY_PAUSE_S = 0.2, 2.0
CONNECTIONS = 200
TRANSIENT = frozenset({429, 500, 502, 503, 504})


class Api(msgspec.Struct, frozen=True):
    """Addresses of the file services and the API key; object store URLs carry their own signature."""

    urls: Sequence[str]
    api_key: str


class Traffic:
    """What is under way now, so that a fault can tell whether it met anything."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        """Requests and streams that wait for an answer, by the URL of their file service."""
        self.streams: Counter[str] = Counter()
        self.attacked_s: dict[str, float] = {}
        """When a fault deleted or replaced an output, by the id of its conversion."""


def http_client(history: Journal) -> httpx2.AsyncClient:
    """Return the HTTP client that all clients share; each request names its client in `CLIENT_HEADER`.

    The history knows a client by its asyncio task, which has the same name.
    """
    inner = httpx2.AsyncHTTPTransport(trust_env=False, limits=httpx2.Limits(max_connections=CONNECTIONS))
    return httpx2.AsyncClient(timeout=REQUEST_TIMEOUT_S, transport=RecordingTransport(inner, history))


class Connection:
    """The requests of one client, to whichever file service answers."""

    def __init__(
        self, http: httpx2.AsyncClient, api: Api, label: str, *, journal: RunJournal, traffic: Traffic
    ) -> None:
        self.http, self._api, self.label, self._journal, self.traffic = http, api, label, journal, traffic
        self.chance = random.Random(label)

    def note(self, what: str, detail: str = "") -> None:
        """Write what this client did or was told into the journal of the run."""
        self._journal.append(Noted(time.monotonic(), self.label, what, detail))

    def pick(self) -> str:
        """Return the URL of one of the file services."""
        return self.chance.choice(self._api.urls)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request to the API."""
        return {"Authorization": f"Bearer {self._api.api_key}", CLIENT_HEADER: self.label}

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        key: str | None = None,
        also: tuple[int, ...] = (),
    ) -> httpx2.Response:
        """Send the request until it succeeds; `also` are error statuses that count as success."""
        tries = 0
        while True:
            tries += 1
            answer = await self._ask(method, path, {} if body is None else body, key)
            if answer is not None and (answer.is_success or answer.status_code in also):
                return answer
            if answer is not None and answer.status_code not in TRANSIENT:
                self.note("unexpected answer", f"{method} …/{path.rpartition('/')[2]}: {summary(answer)}")
            await self.pause(tries, answer)

    async def pause(self, tries: int, answer: httpx2.Response | None = None) -> None:
        """Wait before another try: as long as the answer asks for, and some jitter."""
        retry_after_s = answer.headers.get("retry-after") if answer is not None else None
        jitter_s = self.chance.uniform(0, min(RETRY_PAUSE_S * tries, LONGEST_RETRY_PAUSE_S))
        await asyncio.sleep(float(retry_after_s or 0) + jitter_s)

    async def _ask(self, method: str, path: str, body: dict[str, Any], key: str | None) -> httpx2.Response | None:
        base = self.pick()
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        content = {"json": body} if method == "POST" else {}
        started_s = time.monotonic()
        self.traffic.requests[base] += 1
        try:
            answer = await self.http.request(method, f"{base}{API_PATH}{path}", headers=headers, **content)
        except httpx2.ReadTimeout:
            self._journal.append(Probe(base, started_s, time.monotonic() - started_s, 0, path=f"{method} by a client"))
            return None
        except httpx2.TransportError:
            return None
        finally:
            self.traffic.requests[base] -= 1
        took_s = time.monotonic() - started_s
        self._journal.append(Probe(base, started_s, took_s, answer.status_code, path=f"{method} by a client"))
        return answer


def summary(answer: httpx2.Response) -> str:
    """Return status and error code of an answer."""
    try:
        return f"{answer.status_code} {answer.json()['code']}"
    except (ValueError, KeyError, TypeError):
        return str(answer.status_code)
