"""A bounded buffer between a bus and one reader of facts: a slow reader loses the oldest and blocks nobody."""

import asyncio
from collections import deque

from converto_core.events import ConversionEvent

FACTS_KEPT = 1000  # a reader that is further behind than this is served better by the record itself


class EventBuffer:
    """Facts that have arrived and were not read yet; iterating waits for more, without end."""

    def __init__(self) -> None:
        self._kept: deque[ConversionEvent] = deque(maxlen=FACTS_KEPT)
        self._arrived = asyncio.Event()

    def put(self, event: ConversionEvent) -> None:
        """Keep a fact; when the buffer is full, the oldest goes."""
        self._kept.append(event)
        self._arrived.set()

    def __aiter__(self) -> "EventBuffer":
        return self

    async def __anext__(self) -> ConversionEvent:
        while not self._kept:
            self._arrived.clear()
            await self._arrived.wait()
        return self._kept.popleft()
