"""Server-sent events: follow one conversion until it ends, or all conversions of the caller."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from converto_core.caller import Caller
from converto_core.errors import NotFound
from converto_core.ids import now_ms
from file_service.conversions.records import Records
from file_service.delivery.live_events import LiveEvents, StreamEvent, event_id
from file_service.http.problem_details import problem_responses
from file_service.http.requests import ApiRequest, query_of
from file_service.http.schemas.fields import ClientId
from file_service.http.views import Views
from file_service.uploads.naming import parse_id

TAGS = ["events"]
RETRY_MS = 2000
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Without `X-Accel-Buffering`, nginx holds events back until its buffer is full."""


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a stream of all conversions."""

    client_id: ClientId | None = None


@get(
    "/conversions/{conversion_id:str}/events",
    tags=TAGS,
    media_type="text/event-stream",
    summary="Follow one conversion",
    responses=problem_responses(400, 404),
)
async def follow_conversion(
    request: ApiRequest,
    conversion_id: FromPath[str],
    *,
    records: NamedDependency[Records],
    live_events: NamedDependency[LiveEvents],
    views: NamedDependency[Views],
) -> Response[Any]:
    """Sends a `snapshot` event, then a `conversion` event for each change, and ends when the conversion does."""
    conversion = await records.get(request.user.owner, parse_id(conversion_id))
    if conversion.is_terminal and request.headers.get("last-event-id") == event_id(conversion):
        return Response(None, status_code=204)  # an EventSource reconnects until it gets a 204
    events = live_events.follow(conversion)
    return Stream(encoded_events(events, views, request.user), media_type="text/event-stream", headers=HEADERS)


@get(
    "/events",
    tags=TAGS,
    media_type="text/event-stream",
    summary="Follow all your conversions",
    responses=problem_responses(422),
)
async def follow_all(
    request: ApiRequest, live_events: NamedDependency[LiveEvents], views: NamedDependency[Views]
) -> Stream:
    """Sends a `snapshot` event per live conversion, then a `conversion` event per change; `client_id` filters."""
    query = query_of(request, EventsQuery)
    is_resumed = "last-event-id" in request.headers
    events = live_events.follow_all(request.user.owner, query.client_id, is_resumed=is_resumed)
    return Stream(encoded_events(events, views, request.user), media_type="text/event-stream", headers=HEADERS)


async def encoded_events(
    events: AsyncGenerator[StreamEvent | None, None], views: Views, caller: Caller
) -> AsyncIterator[bytes]:
    """Encode the events; a stream ends with the token that opened it, at the latest at the next ping."""
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        async with aclosing(events):
            async for event in events:
                if caller.has_expired(now_ms()):
                    return
                yield _encoded(event, views)
    except NotFound:
        return  # the conversion was deleted meanwhile


def _encoded(event: StreamEvent | None, views: Views) -> bytes:
    if event is None:
        return b": ping\n\n"
    name, conversion = event
    body = msgspec.json.encode(views.conversion(conversion))
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id(conversion).encode(), name.encode(), body)
