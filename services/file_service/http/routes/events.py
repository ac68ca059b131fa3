"""Server-sent events: one conversion until it ends, or all of the caller's without end."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from converto_core.errors import NotFound
from file_service.conversions.records import Records
from file_service.delivery.live_events import News, Notifications, news_id
from file_service.http.problem_details import problem_responses
from file_service.http.requests import ApiRequest, query_of
from file_service.http.schemas import ClientId
from file_service.http.views import Views
from file_service.uploads.naming import parse_id

TAGS = ["events"]
RETRY_MS = 2000
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Without the second one nginx holds events back until its buffer is full."""


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
    records: NamedDependency[Records],
    notifications: NamedDependency[Notifications],
    views: NamedDependency[Views],
) -> Response[Any]:
    """`snapshot` first, then `conversion` for each change; the stream ends with the conversion."""
    conversion = await records.get(request.user.owner, parse_id(conversion_id))
    if conversion.is_terminal and request.headers.get("last-event-id") == news_id(conversion):
        return Response(None, status_code=204)  # tells an EventSource that reconnects by itself to stop
    return Stream(_events(notifications.follow(conversion), views), media_type="text/event-stream", headers=HEADERS)


@get(
    "/events",
    tags=TAGS,
    media_type="text/event-stream",
    summary="Follow all your conversions",
    responses=problem_responses(422),
)
async def follow_all(
    request: ApiRequest, notifications: NamedDependency[Notifications], views: NamedDependency[Views]
) -> Stream:
    """A `snapshot` of each live conversion, then `conversion` for each change of any; `client_id` narrows it."""
    query = query_of(request, EventsQuery)
    is_resumed = "last-event-id" in request.headers
    news = notifications.follow_all(request.user.owner, query.client_id, is_resumed=is_resumed)
    return Stream(_events(news, views), media_type="text/event-stream", headers=HEADERS)


async def _events(news: AsyncIterator[News | None], views: Views) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        async for entry in news:
            yield _encoded(entry, views)
    except NotFound:
        return  # deleted meanwhile: there is nothing more to tell


def _encoded(entry: News | None, views: Views) -> bytes:
    if entry is None:
        return b": ping\n\n"
    name, conversion = entry
    body = msgspec.json.encode(views.conversion(conversion))
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (news_id(conversion).encode(), name.encode(), body)
