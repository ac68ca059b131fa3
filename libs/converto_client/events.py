"""Live events of conversions: server-sent events with automatic reconnection, and polling without a stream.

Each record is delivered once: records that a new connection repeats are dropped.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

import httpx2
import msgspec

from converto_client.errors import ClientError, problem_error
from converto_client.models import ConversionRecord
from converto_client.retry import seconds_of_retry_after
from converto_client.transport import API, Transport, decoded

SILENCE_S = 45.0
"""The server pings every 15 s; the connection counts as dead after three missed pings."""
POLL_S = 1.0
_FRUITLESS_CONNECTIONS = 3
_GIVE_UP_STATUSES = frozenset({400, 401, 403})


class _NoStream(Exception):
    """The connection ended. `fruitful`: it delivered an event; `retry_after_s`: when to reconnect."""

    def __init__(self, *, fruitful: bool, retry_after_s: float | None = None) -> None:
        super().__init__()
        self.fruitful = fruitful
        self.retry_after_s = retry_after_s


class EventFeed:
    """The records of one live stream, with the state needed to resume after a disconnect."""

    def __init__(self, transport: Transport, path: str, params: dict[str, str]) -> None:
        """`path` is relative to the API root, `params` is the query."""
        self._transport = transport
        self._path = path
        self._params = params
        self._last_event_id = ""
        self._retry_s: float | None = None
        self._seen: dict[str, ConversionRecord] = {}

    async def records(self) -> AsyncGenerator[ConversionRecord, None]:
        """Records as they change, without end; raises `_NoStream` after several connections without an event."""
        fruitless = 0
        while True:
            try:
                async with aclosing(self._connection()) as records:
                    async for record in records:
                        yield record
            except _NoStream as end:
                fruitless = 0 if end.fruitful else fruitless + 1
                if fruitless >= _FRUITLESS_CONNECTIONS:
                    raise
                retry = self._transport.retry
                asked_s = end.retry_after_s or (self._retry_s if fruitless else 0.0) or 0.0
                await self._transport.sleep(retry.pause_s(fruitless + 1, min(asked_s, retry.longest_retry_after_s)))

    async def _connection(self) -> AsyncGenerator[ConversionRecord, None]:
        is_fruitful = False
        live = self._transport.live(
            self._path, params=self._params, last_event_id=self._last_event_id, silence_s=SILENCE_S
        )
        try:
            async with live as source:
                await _check(source.response)
                async for event in source:
                    is_fruitful = True
                    if record := self._new_record(event):
                        yield record
        except (httpx2.RequestError, msgspec.MsgspecError) as error:
            raise _NoStream(fruitful=is_fruitful) from error
        raise _NoStream(fruitful=is_fruitful)

    def _new_record(self, event: httpx2.ServerSentEvent) -> ConversionRecord | None:
        self._last_event_id = event.id or self._last_event_id
        if event.retry is not None:
            self._retry_s = min(event.retry / 1000, self._transport.retry.cap_s)
        if event.event not in ("snapshot", "conversion") or not event.data:
            return None
        record = msgspec.json.decode(event.data, type=ConversionRecord)
        if self._seen.get(record.id) == record:
            return None
        if record.is_terminal:
            self._seen.pop(record.id, None)
        else:
            self._seen[record.id] = record
        return record


async def _check(response: httpx2.Response) -> None:
    if response.status_code in _GIVE_UP_STATUSES:
        raise problem_error(response.status_code, await response.aread())
    if not response.is_success:
        raise _NoStream(fruitful=False, retry_after_s=seconds_of_retry_after(response.headers.get("Retry-After")))


async def follow_one(transport: Transport, conversion_id: str) -> AsyncGenerator[ConversionRecord, None]:
    """Every change of one conversion until it ends; by stream if possible, else by polling."""
    feed = EventFeed(transport, f"/conversions/{conversion_id}/events", {})
    try:
        async with aclosing(feed.records()) as records:
            async for record in records:
                yield record
                if record.is_terminal:
                    return
    except _NoStream:
        async with aclosing(poll_one(transport, conversion_id)) as records:
            async for record in records:
                yield record


async def follow_all(transport: Transport, client_id: str | None) -> AsyncGenerator[ConversionRecord, None]:
    """Every change of all conversions of this key (and `client_id`), without end; raises `ClientError`."""
    feed = EventFeed(transport, "/events", {"client_id": client_id} if client_id else {})
    try:
        async with aclosing(feed.records()) as records:
            async for record in records:
                yield record
    except _NoStream as error:
        raise ClientError("The server offers no live stream at the moment; try again shortly") from error


async def poll_one(transport: Transport, conversion_id: str) -> AsyncGenerator[ConversionRecord, None]:
    """Every change of one conversion by polling, as often as the server's `Retry-After` allows."""
    etag = ""
    while True:
        response = await transport.send(
            "GET", f"{API}/conversions/{conversion_id}", headers={"If-None-Match": etag} if etag else {}
        )
        etag = response.headers.get("ETag", etag)
        if response.status_code != HTTPStatus.NOT_MODIFIED:
            record = decoded(response, ConversionRecord)
            yield record
            if record.is_terminal:
                return
        asked_s = seconds_of_retry_after(response.headers.get("Retry-After"))
        await transport.sleep(POLL_S if asked_s is None else asked_s)
