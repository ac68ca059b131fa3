"""A client of the suite: requests one conversion as a careful program does, and never gives up.

POST with an Idempotency-Key, PUT to the object store, confirm, poll until it has ended. It obeys 429 and 503, and after
a broken connection it sends the same request with the same key. It records what the service has promised.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec

from converto_core.conversion.record import TERMINAL, Status
from tests.chaos.report.ledger import Account
from tests.chaos.sources import Source

API_PATH = "/api/v1"
REQUEST_TIMEOUT_S = 5.0
RETRY_PAUSE_S, LONGEST_RETRY_PAUSE_S = 0.2, 2.0
POLL_FIRST_S, POLL_LONGEST_S = 0.5, 4.0
CONFIRM_TIMEOUT_S = 3.0  # then a confirmation whose server died is sent again under a new key
CONNECTIONS = 200
TRANSIENT = frozenset({429, 500, 502, 503, 504})


class Api(msgspec.Struct, frozen=True):
    """Addresses of the file services and the API key; object store URLs carry their own signature."""

    urls: Sequence[str]
    api_key: str


class Client:
    """Requests one conversion from whichever file service answers."""

    def __init__(self, http: httpx2.AsyncClient, api: Api, source: Source, account: Account) -> None:
        self._http, self._api, self._source, self._account = http, api, source, account
        self._chance = random.Random(source.label)

    async def run(self) -> None:
        """Run from the request to the end of the conversion; the caller cancels it when time is up."""
        created = await self._request_until_answered("POST", "/conversions", body=self._body(), key=self._source.label)
        self._account.accept(created["conversion"]["id"])
        await self._upload(created)
        if self._source.is_confirmed:
            await self._confirm(created["file"]["id"])
        if self._source.is_cancelled:
            await self._cancel()
        ended = await self._poll_until_ended()
        if ended == Status.FAILED and self._source.is_retried:
            await self._retry()
            await self._poll_until_ended()

    def _body(self) -> dict[str, Any]:
        source = self._source
        file = {"filename": source.filename, "size_bytes": len(source.content)}
        return {"target_format": source.target_format, "client_id": source.label, "file": file}

    async def _upload(self, created: dict[str, Any]) -> None:
        upload = created["upload"]
        while True:
            try:
                put = await self._http.put(upload["url"], content=self._source.content, headers=upload["headers"])
                if put.status_code == 200:
                    return
                self._account.unexpected_answers.append(f"PUT: {put.status_code}")
            except httpx2.TransportError:
                pass
            await self._pause(1)

    async def _confirm(self, file_id: str) -> None:
        """Confirm until the conversion has left `awaiting_upload`, by this confirmation or another one."""
        tries = 0
        while True:
            tries += 1
            try:
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    key = f"{self._source.label}-up-{tries}"
                    await self._request_until_answered("POST", f"/files/{file_id}/uploaded", key=key)
                    return
            except TimeoutError:
                if await self._status() != Status.AWAITING_UPLOAD:
                    return

    async def _cancel(self) -> None:
        """Request cancellation; 409 means that the conversion has ended already."""
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        await self._request_until_answered("POST", f"{self._path}/cancel", also=(409,))

    async def _retry(self) -> None:
        self._account.retries += 1
        await self._request_until_answered("POST", f"{self._path}/retry", also=(409,))

    async def _poll_until_ended(self) -> str:
        wait_s = POLL_FIRST_S
        while (status := await self._status()) not in TERMINAL:
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, POLL_LONGEST_S)
        return status

    async def _status(self) -> str:
        return str((await self._request_until_answered("GET", self._path))["status"])

    @property
    def _path(self) -> str:
        return f"/conversions/{self._account.conversion_id}"

    async def _request_until_answered(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        key: str | None = None,
        also: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        """Send the request until it succeeds; `also` are error statuses that count as success."""
        tries = 0
        while True:
            tries += 1
            answer = await self._ask(method, path, {} if body is None else body, key)
            if answer is not None and (answer.is_success or answer.status_code in also):
                return dict(answer.json())
            await self._pause(tries, answer)

    async def _ask(self, method: str, path: str, body: dict[str, Any], key: str | None) -> httpx2.Response | None:
        url = f"{self._chance.choice(self._api.urls)}{API_PATH}{path}"
        headers = {"Authorization": f"Bearer {self._api.api_key}"} | ({"Idempotency-Key": key} if key else {})
        try:
            content = {"json": body} if method == "POST" else {}
            answer = await self._http.request(method, url, headers=headers, **content)
        except httpx2.TransportError:
            return None
        self._note(method, path, answer)
        return answer

    def _note(self, method: str, path: str, answer: httpx2.Response) -> None:
        if answer.is_success or answer.status_code in TRANSIENT:
            self._account.refusals += not answer.is_success
            return
        self._account.unexpected_answers.append(f"{method} …/{path.rpartition('/')[2]}: {_summary(answer)}")

    async def _pause(self, tries: int, answer: httpx2.Response | None = None) -> None:
        retry_after_s = answer.headers.get("retry-after") if answer is not None else None
        jitter_s = self._chance.uniform(0, min(RETRY_PAUSE_S * tries, LONGEST_RETRY_PAUSE_S))
        await asyncio.sleep(float(retry_after_s or 0) + jitter_s)


def _summary(answer: httpx2.Response) -> str:
    try:
        return f"{answer.status_code} {answer.json()['code']}"
    except (ValueError, KeyError):
        return str(answer.status_code)


class Clients:
    """All clients of a run and their accounts."""

    def __init__(self, api: Api) -> None:
        self._api = api
        limits = httpx2.Limits(max_connections=CONNECTIONS)
        self._http = httpx2.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=False, limits=limits)
        self._running: set[asyncio.Task[None]] = set()
        self.accounts: list[Account] = []

    def send(self, source: Source) -> None:
        """Start one more client."""
        account = Account(source=source, attempted_s=time.monotonic())
        self.accounts.append(account)
        running = asyncio.create_task(Client(self._http, self._api, source, account).run(), name=source.label)
        self._running.add(running)

    @property
    def waiting(self) -> int:
        """The number of clients whose conversion has not ended."""
        return sum(not running.done() for running in self._running)

    async def wait(self, seconds: float) -> None:
        """Wait until all conversions have ended or time is up, then cancel the remaining clients."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for running in self._running:
            running.cancel()
        ended = await asyncio.gather(*self._running, return_exceptions=True)
        await self._http.aclose()
        errors = [error for error in ended if isinstance(error, Exception)]
        if errors:
            raise ExceptionGroup("clients failed", errors)
