"""A client of the suite: requests one conversion as a careful program does, and never gives up.

POST with an Idempotency-Key, PUT to the object store, confirm, poll or follow until it has ended, download, delete. It
obeys 429 and 503, and after a broken connection it sends the same request with the same key. It records what the
service has promised.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx2

from converto_core.conversion.record import TERMINAL, Status
from tests.chaos.clients.connection import Api, Connection, Traffic, http_client
from tests.chaos.clients.download import Download, Downloaded
from tests.chaos.clients.progress import Progress
from tests.chaos.clients.stream import follow
from tests.chaos.history.journal import Journal
from tests.chaos.report.entries import Sent
from tests.chaos.report.journal import RunJournal
from tests.chaos.sources import Source

POLL_FIRST_S, POLL_LONGEST_S = 0.5, 4.0
MOST_DOWNLOADS = 10
LOOK_AGAIN_S, LONGEST_WAIT_S = 2.0, 300.0
CONFIRM_TIMEOUT_S = 3.0  # then a confirmation whose server died is sent again under a new key


class Client:
    """Requests one conversion from whichever file service answers."""

    def __init__(self, connection: Connection, source: Source) -> None:
        self._connection, self._source = connection, source
        self._progress = Progress(connection)
        self._id = ""

    async def run(self) -> None:
        """Run from the request to the end of the conversion; the caller cancels it when time is up."""
        created = await self._create()
        await self._upload(created)
        if self._source.is_confirmed:
            await self._confirm(created["file"]["id"])
        if self._source.is_cancelled:
            await self._cancel()
        ended = await self._until_ended()
        if ended in (Status.FAILED, Status.CANCELLED) and self._source.is_retried:
            ended = await self._retry()
        if ended == Status.COMPLETED and self._source.is_downloaded:
            await self._download()
        if self._source.is_deleted:
            await self._delete()
        if self._source.is_file_deleted:
            await self._connection.request("DELETE", f"/files/{created['file']['id']}", also=(404,))

    async def _create(self) -> dict[str, Any]:
        source = self._source
        file = {"filename": source.filename, "size_bytes": len(source.content)}
        body = {"target_format": source.target_format, "client_id": source.label, "file": file}
        answer = await self._connection.request("POST", "/conversions", body=body, key=source.label)
        created: dict[str, Any] = answer.json()
        self._id = created["conversion"]["id"]
        self._connection.note("accepted", self._id)
        return created

    async def _upload(self, created: dict[str, Any]) -> None:
        upload = created["upload"]
        while True:
            try:
                content = self._source.content
                put = await self._connection.http.put(upload["url"], content=content, headers=upload["headers"])
                if put.status_code == 200:
                    return
                self._connection.note("unexpected answer", f"PUT: {put.status_code}")
            except httpx2.TransportError:
                pass
            await self._connection.pause(1)

    async def _confirm(self, file_id: str) -> None:
        """Confirm until the conversion has left `awaiting_upload`, by this confirmation or another one."""
        tries = 0
        while True:
            tries += 1
            try:
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    key = f"{self._source.label}-up-{tries}"
                    await self._connection.request("POST", f"/files/{file_id}/uploaded", key=key)
                    return
            except TimeoutError:
                if await self._status() != Status.AWAITING_UPLOAD:
                    return

    async def _cancel(self) -> None:
        """Request cancellation; 409 means that the conversion has ended already."""
        await asyncio.sleep(self._connection.chance.uniform(0, 0.5))
        await self._connection.request("POST", f"{self._path}/cancel", also=(409,))

    async def _retry(self) -> str:
        self._connection.note("retried")
        await self._connection.request("POST", f"{self._path}/retry", also=(409,))
        return await self._until_ended()

    async def _download(self) -> None:
        """Download and compare; a lost result is made again from its source when its client asks for it."""
        download = Download(self._connection, self._source, self._id)
        for _ in range(MOST_DOWNLOADS):
            if await download.run() is not Downloaded.LOST:
                return
            await self._connection.pause(1)
            if await self._until_ended() != Status.COMPLETED:
                self._connection.note("result lost")
                await self._retry()

    async def _delete(self) -> None:
        """Delete the conversion; 409 means that it is not over, 404 that an answer was lost and it is deleted."""
        self._connection.note("deleting")
        answer = await self._connection.request("DELETE", self._path, also=(404, 409))
        if answer.status_code != 409:
            self._connection.note("deleted")

    async def _until_ended(self) -> str:
        if self._source.is_followed:
            await follow(self._connection, self._id, self._progress)
        wait_s = POLL_FIRST_S
        while (status := await self._status()) not in TERMINAL:
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, POLL_LONGEST_S)
        return status

    async def _status(self) -> str:
        body = (await self._connection.request("GET", self._path)).json()
        self._progress.check(body)
        return str(body["status"])

    @property
    def _path(self) -> str:
        return f"/conversions/{self._id}"


class Clients:
    """All clients of a run."""

    def __init__(self, api: Api, journal: RunJournal, traffic: Traffic, *, history: Journal) -> None:
        self._api, self._journal, self._traffic = api, journal, traffic
        self._http = http_client(history)
        self._running: set[asyncio.Task[None]] = set()

    def send(self, source: Source) -> None:
        """Start one more client."""
        self._journal.append(Sent(time.monotonic(), source))
        connection = Connection(self._http, self._api, source.label, journal=self._journal, traffic=self._traffic)
        self._running.add(asyncio.create_task(Client(connection, source).run(), name=source.label))

    @property
    def sent(self) -> int:
        """The number of clients so far."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """The number of clients whose conversion has not ended."""
        return sum(not running.done() for running in self._running)

    async def wait(self, seconds: float, work_done: Callable[[], int]) -> list[Exception]:
        """Wait until all conversions have ended, cancel the remaining clients, return what broke.

        Time is up when nothing has happened for `seconds`: `work_done()` grows while workers claim and end runs, which
        takes long on a busy machine.
        """
        ends_s, done, last_s = time.monotonic() + LONGEST_WAIT_S, -1, time.monotonic()
        while self.waiting and time.monotonic() < min(ends_s, last_s + seconds):
            await asyncio.wait([one for one in self._running if not one.done()], timeout=LOOK_AGAIN_S)
            if (now := work_done()) > done:
                done, last_s = now, time.monotonic()
        for running in self._running:
            running.cancel()
        ended = await asyncio.gather(*self._running, return_exceptions=True)
        await self._http.aclose()
        return [error for error in ended if isinstance(error, Exception)]
