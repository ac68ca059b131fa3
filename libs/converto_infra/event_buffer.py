"""A bounded buffer between the bus and one reader of live events: a slow reader loses the oldest and blocks nobody."""

import asyncio
from collections import deque

from converto_core.events import ConversionEvent

MAX_EVENTS = 1000  # a reader that is further behind is better served by reading the record


class EventBuffer:
    """Events that have arrived but are unread; iteration waits for more and never ends."""

    def __init__(self) -> None:
        self._events: deque[ConversionEvent] = deque(maxlen=MAX_EVENTS)
        self._arrived = asyncio.Event()

    def put(self, event: ConversionEvent) -> None:
        """Add an event; a full buffer drops its oldest."""
        self._events.append(event)
        self._arrived.set()

    def __aiter__(self) -> "EventBuffer":
        return self

    async def __anext__(self) -> ConversionEvent:
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()
