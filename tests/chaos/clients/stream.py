"""Follows a conversion by Server-Sent Events, until the stream ends for whatever reason."""

import json

import httpx2

from tests.chaos.clients.connection import API_PATH, Connection
from tests.chaos.clients.progress import Progress

SILENT_S = 30.0  # a stream that sends less often than its pings is broken


async def follow(connection: Connection, conversion_id: str, progress: Progress) -> None:
    """Check the progress of each event; a broken stream is no error, because its client can poll."""
    base = connection.pick()
    url = f"{base}{API_PATH}/conversions/{conversion_id}/events"
    connection.traffic.streams[base] += 1
    try:
        async with connection.http.stream("GET", url, headers=connection.headers, timeout=SILENT_S) as answer:
            if answer.is_success:
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        progress.check(json.loads(line.removeprefix("data: ")))
    except (httpx2.TransportError, httpx2.StreamError):
        return
    finally:
        connection.traffic.streams[base] -= 1
