"""An HTTP transport that writes each call to the journal: before it is sent, and when its answer is complete."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx2

from tests.chaos.history.answers import Answer
from tests.chaos.history.call import Ended, Outcome, Streamed
from tests.chaos.history.journal import Journal
from tests.chaos.history.requests import described

CLIENT = "client"
"""The request extension that names the client: `http.get(url, extensions={CLIENT: "prober"})`."""
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class RecordingTransport(httpx2.AsyncBaseTransport):
    """Records the calls that pass through another transport.

    A client is named by the extension `CLIENT` of the request, else by this transport's `client`, else by its asyncio
    task. Calls of the API about conversions, files and events and those to the object store are recorded.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, journal: Journal, *, client: str | None = None) -> None:
        self._inner, self._journal, self._client = inner, journal, client

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and record it; errors pass through."""
        fields = described(request)
        if fields is None:
            return await self._inner.handle_async_request(request)
        number = self._journal.begin(client=self._name(request), **fields)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            self._journal.end(_broken(number, error))
            raise
        answer = Answer(response, is_object="object_key" in fields)
        stream = _Recorded(response.stream, answer, number=number, journal=self._journal)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close the other transport; the journal stays open, because other clients may use it."""
        await self._inner.aclose()

    def _name(self, request: httpx2.Request) -> str:
        running = asyncio.current_task()
        return str(request.extensions.get(CLIENT) or self._client or (running.get_name() if running else ""))


class _Recorded(httpx2.AsyncByteStream):
    """The body of an answer, recorded as it is read."""

    def __init__(self, inner: object, answer: Answer, *, number: int, journal: Journal) -> None:
        assert isinstance(inner, httpx2.AsyncByteStream)
        self._inner, self._answer, self._number, self._journal = inner, answer, number, journal
        self._has_ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                for told in self._answer.take(chunk):
                    self._journal.write(Streamed(number=self._number, at_s=time.monotonic(), told=told))
                yield chunk
        except BaseException as error:
            self._end(_broken(self._number, error))
            raise
        self._end(
            Ended(
                number=self._number,
                at_s=time.monotonic(),
                wall_ms=time.time_ns() // 1_000_000,
                outcome=Outcome.ANSWERED,
                **self._answer.fields(),
            )
        )

    async def aclose(self) -> None:
        """Close the body; a client that reads only a part of it has not been answered."""
        await self._inner.aclose()
        self._end(Ended(number=self._number, at_s=time.monotonic(), outcome=Outcome.UNKNOWN, code="closed"))

    def _end(self, ended: Ended) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._journal.end(ended)


def _broken(number: int, error: BaseException) -> Ended:
    """Return the end of a call that got no answer, or only a part of one."""
    outcome = Outcome.NOT_SENT if isinstance(error, NEVER_SENT) else Outcome.UNKNOWN
    return Ended(number=number, at_s=time.monotonic(), outcome=outcome, code=type(error).__name__)
