"""Downloads the outputs of a conversion by presigned URLs and compares their bytes.

An object may be deleted or replaced by a fault. Then a client has to be told so, or get the right bytes made again:
wrong bytes or a URL without an object are false answers, unless the fault came after the URL had been asked for.
"""

import hashlib
import time
from enum import Enum
from typing import Any

import httpx2

from tests.chaos.clients.connection import TRANSIENT, Connection
from tests.chaos.sources import Source

RESULT_LOST = "result_lost"


class Downloaded(Enum):
    """How a download ended."""

    WHOLE = "whole"
    LOST = "the service said that the result is lost, or is making it again"
    WRONG = "wrong, which is recorded as a false answer"


class Download:
    """The downloads of one conversion."""

    def __init__(self, connection: Connection, source: Source, conversion_id: str) -> None:
        self._connection, self._source, self._id = connection, source, conversion_id

    async def run(self) -> Downloaded:
        """Ask for the URLs and download; again when a fault came between."""
        tries = 0
        while True:
            tries += 1
            asked_s = time.monotonic()
            answer = await self._connection.request("GET", f"/conversions/{self._id}/outputs", also=(404, 409, 410))
            if not answer.is_success:
                return Downloaded.LOST
            for output in answer.json()["outputs"]:
                wrong = await self._fetch(output)
                if wrong is None:
                    continue
                if self._connection.traffic.attacked_s.get(self._id, 0.0) > asked_s:
                    break  # attacked after the URL was asked for
                self._connection.note("false answer", wrong)
                return Downloaded.WRONG
            else:
                return Downloaded.WHOLE
            await self._connection.pause(tries)

    async def _fetch(self, output: dict[str, Any]) -> str | None:
        """Return what is wrong with an output, None for the right bytes."""
        tries = 0
        while True:
            tries += 1
            got = await self._get(output["url"])
            if got is not None and got.status_code not in TRANSIENT:
                return self._compare(got, output)
            await self._connection.pause(tries)

    async def _get(self, url: str) -> httpx2.Response | None:
        try:
            return await self._connection.http.get(url)
        except httpx2.TransportError:
            return None

    def _compare(self, got: httpx2.Response, output: dict[str, Any]) -> str | None:
        if got.status_code != 200:
            return f"was sent to an object that answers {got.status_code}"
        if hashlib.sha256(got.content).hexdigest() != output["sha256"]:
            return "was served bytes with another sha256 than promised"
        if self._source.kind != "picture" and not self._source.is_result(got.content):
            return "was served another result than its source gives"
        return None
