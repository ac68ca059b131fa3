"""One client of the suite: asks for one conversion the way a careful program does, and never gives up.

POST with an Idempotency-Key, PUT to the object store, confirm, look until it has ended; 429 and 503 are obeyed, and on
a broken connection the same request is sent again with the same key. It keeps what the service has promised it.
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

API = "/api/v1"
REQUEST_TIMEOUT_S = 5.0
AGAIN_S, AGAIN_MOST_S = 0.2, 2.0
LOOK_FIRST_S, LOOK_LONGEST_S = 0.5, 4.0
CONFIRM_PATIENCE_S = 3.0  # a confirmation whose server died is asked for again under a new key
CONNECTIONS = 200
TRANSIENT = frozenset({429, 500, 502, 503, 504})


class Door(msgspec.Struct, frozen=True):
    """Where the file services are, and the key to them; addresses of the object store carry their own signature."""

    urls: Sequence[str]
    api_key: str


class Client:
    """Speaks to whichever file service answers."""

    def __init__(self, http: httpx2.AsyncClient, door: Door, source: Source, account: Account) -> None:
        self._http, self._door, self._source, self._account = http, door, source, account
        self._chance = random.Random(source.label)

    async def run(self) -> None:
        """From the request to the end of the conversion; cancelled from outside when time is up."""
        created = await self._insist("POST", "/conversions", body=self._body(), key=self._source.label)
        self._account.accept(created["conversion"]["id"])
        await self._upload(created)
        await self._confirm(created["file"]["id"])
        if self._source.is_cancelled:
            await self._cancel()
        ended = await self._look_until_ended()
        if ended == Status.FAILED and self._source.is_retried:
            await self._retry()
            await self._look_until_ended()

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
                self._account.surprises.append(f"PUT: {put.status_code}")
            except httpx2.TransportError:
                pass
            await self._pause(1)

    async def _confirm(self, file_id: str) -> None:
        """Until the conversion has left `awaiting_upload`, by this confirmation or by somebody else's."""
        tries = 0
        while True:
            tries += 1
            try:
                async with asyncio.timeout(CONFIRM_PATIENCE_S):
                    await self._insist("POST", f"/files/{file_id}/uploaded", key=f"{self._source.label}-up-{tries}")
                    return
            except TimeoutError:
                if await self._status() != Status.AWAITING_UPLOAD:
                    return

    async def _cancel(self) -> None:
        """It may have ended before (409)."""
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        await self._insist("POST", f"{self._path}/cancel", also=(409,))

    async def _retry(self) -> None:
        self._account.retries += 1
        await self._insist("POST", f"{self._path}/retry", also=(409,))

    async def _look_until_ended(self) -> str:
        wait_s = LOOK_FIRST_S
        while (status := await self._status()) not in TERMINAL:
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, LOOK_LONGEST_S)
        return status

    async def _status(self) -> str:
        return str((await self._insist("GET", self._path))["status"])

    @property
    def _path(self) -> str:
        return f"/conversions/{self._account.conversion_id}"

    async def _insist(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        key: str | None = None,
        also: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        """The answer, however often it takes; `also` are refusals that count as an answer."""
        tries = 0
        while True:
            tries += 1
            answer = await self._ask(method, path, {} if body is None else body, key)
            if answer is not None and (answer.is_success or answer.status_code in also):
                return dict(answer.json())
            await self._pause(tries, answer)

    async def _ask(self, method: str, path: str, body: dict[str, Any], key: str | None) -> httpx2.Response | None:
        url = f"{self._chance.choice(self._door.urls)}{API}{path}"
        headers = {"Authorization": f"Bearer {self._door.api_key}"} | ({"Idempotency-Key": key} if key else {})
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
        self._account.surprises.append(f"{method} …/{path.rpartition('/')[2]}: {_said(answer)}")

    async def _pause(self, tries: int, answer: httpx2.Response | None = None) -> None:
        asked_for = answer.headers.get("retry-after") if answer is not None else None
        jitter_s = self._chance.uniform(0, min(AGAIN_S * tries, AGAIN_MOST_S))
        await asyncio.sleep(float(asked_for or 0) + jitter_s)


def _said(answer: httpx2.Response) -> str:
    try:
        return f"{answer.status_code} {answer.json()['code']}"
    except (ValueError, KeyError):
        return str(answer.status_code)


class Crowd:
    """All clients of a run, and their accounts."""

    def __init__(self, door: Door) -> None:
        self._door = door
        limits = httpx2.Limits(max_connections=CONNECTIONS)
        self._http = httpx2.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=False, limits=limits)
        self._running: set[asyncio.Task[None]] = set()
        self.accounts: list[Account] = []

    def send(self, source: Source) -> None:
        """Let one more client begin."""
        account = Account(source=source, attempted_s=time.monotonic())
        self.accounts.append(account)
        running = asyncio.create_task(Client(self._http, self._door, source, account).run(), name=source.label)
        self._running.add(running)

    @property
    def waiting(self) -> int:
        """How many have not seen their conversion end."""
        return sum(not running.done() for running in self._running)

    async def wait(self, seconds: float) -> None:
        """Until all have seen their conversion end, or time is up; then the rest goes home."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for running in self._running:
            running.cancel()
        ended = await asyncio.gather(*self._running, return_exceptions=True)
        await self._http.aclose()
        broken = [error for error in ended if isinstance(error, Exception)]
        if broken:
            raise ExceptionGroup("clients broke", broken)
