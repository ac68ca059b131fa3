"""Many concurrent clients of a running stack: some convert pictures with the Python client, some poll like displays.

`Answers` counts the responses; the functions return the final records of the conversions.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import httpx2
import msgspec

from converto_client import AsyncConverto, Retry
from tests.answers import REFUSALS, Answers

DEADLINE_S = 900.0
# A machine that is busy with other things may leave the servers out of breath for a while.
PATIENT = Retry(attempts=100, patience_s=DEADLINE_S)
API = "/api/v1"
ENDED = frozenset({"completed", "failed", "cancelled", "expired"})


class Server(msgspec.Struct, frozen=True):
    """Whom to ask, and where to note the answers."""

    url: str
    api_key: str
    answers: Answers


async def convert_all(server: Server, sources: Sequence[Path], *, clients: int, at_once: int) -> list[str]:
    """Share the files among clients, each with `at_once` of them on the way; the statuses in the end."""
    shares = [sources[number::clients] for number in range(clients)]
    ended = await asyncio.gather(*(_convert_share(server, share, at_once) for share in shares))
    return [status for statuses in ended for status in statuses]


async def _convert_share(server: Server, sources: Sequence[Path], at_once: int) -> list[str]:
    places = asyncio.Semaphore(at_once)
    async with AsyncConverto(server.url, server.api_key, retry=PATIENT, http=server.answers.transport()) as client:

        async def one(path: Path) -> str:
            async with places:
                conversion = await client.convert(path, to="webp")
                await conversion.wait(timeout_s=DEADLINE_S)
                return conversion.record.status

        return await asyncio.gather(*(one(path) for path in sources))


async def show_all(server: Server, sources: Sequence[Path], *, displays: int, poll_s: float) -> list[int]:
    """Upload all files at the same time; displays share what comes of them. The sizes of the results they fetched."""
    announced: asyncio.Queue[str | None] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        shown = [group.create_task(_display(server, announced, poll_s)) for _ in range(displays)]
        await _upload_all(server, sources, announced)
        for _ in range(displays):
            announced.put_nowait(None)
    return [size_bytes for display in shown for size_bytes in display.result()]


async def _upload_all(server: Server, sources: Sequence[Path], announced: asyncio.Queue[str | None]) -> None:
    async with AsyncConverto(server.url, server.api_key, retry=PATIENT, http=server.answers.transport()) as client:

        async def one(path: Path) -> None:
            announced.put_nowait((await client.convert(path, to="webp", client_id="wall")).id)

        await asyncio.gather(*(one(path) for path in sources))


async def _display(server: Server, announced: asyncio.Queue[str | None], poll_s: float) -> list[int]:
    """What a screen without our library does: ask now and then with an ETag, fetch the result once."""
    headers = {"Authorization": f"Bearer {server.api_key}"}
    sizes: list[int] = []
    async with httpx2.AsyncClient(base_url=server.url, transport=server.answers.transport(), timeout=30) as http:
        while conversion_id := await announced.get():
            status = await _follow(http, headers, conversion_id, poll_s)
            sizes += [await _fetch(http, headers, conversion_id)] if status == "completed" else []
    return sizes


async def _follow(http: httpx2.AsyncClient, headers: dict[str, str], conversion_id: str, poll_s: float) -> str:
    etag = ""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            known = {"If-None-Match": etag} if etag else {}
            answer = await http.get(f"{API}/conversions/{conversion_id}", headers=headers | known)
            if answer.status_code == HTTPStatus.OK and answer.json()["status"] in ENDED:
                return str(answer.json()["status"])
            etag = answer.headers.get("etag", etag)
            await asyncio.sleep(max(poll_s, float(answer.headers.get("retry-after", 0))))


async def _fetch(http: httpx2.AsyncClient, headers: dict[str, str], conversion_id: str) -> int:
    answer = await http.get(f"{API}/conversions/{conversion_id}/outputs", headers=headers)
    while answer.status_code in REFUSALS:
        await asyncio.sleep(float(answer.headers["retry-after"]))
        answer = await http.get(f"{API}/conversions/{conversion_id}/outputs", headers=headers)
    (output,) = answer.raise_for_status().json()["outputs"]
    return len((await http.get(output["url"])).raise_for_status().content)
