"""Server-sent event streams about conversions, fed by broker events and by polling.

A broker event only says which record to read again, and each stream also polls. So a client always sees the record in
the record's own order, and a broker outage costs a delay of a second or two.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import structlog

from converto_core.conversion.record import TERMINAL, Conversion, Status
from converto_core.errors import BusUnavailable, NotFound, StoreUnavailable
from converto_core.events import ConversionEvent
from converto_core.ids import now_ms
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionFilter, ConversionStore

MAX_CHANGED_IDS = 500
"""A subscriber that is further behind re-reads all its conversions instead of remembering each id."""
MOST_LIVE = 200
"""How many live conversions the stream of a whole owner follows."""
NEWEST = 50
"""How many of the newest conversions, ended ones included, such a stream compares at each poll."""
RESUMED_MS = 3_600_000
"""After a reconnection the snapshot also holds what ended within the last hour."""
RESUBSCRIBE_S = 1.0

LIVE = (Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING)
StreamEvent = tuple[str, Conversion]
"""The event name (`snapshot` or `conversion`) and the record."""

log = structlog.get_logger()


class Subscriber:
    """One stream's subscription: the ids of conversions that may have changed since its last read, bounded in size."""

    def __init__(self, owner: str, conversion_id: str | None, client_id: str | None) -> None:
        self.owner, self.client_id, self._conversion_id = owner, client_id, conversion_id
        self._changed_ids: dict[str, None] = {}
        self._notified = asyncio.Event()
        self.has_overflowed = False

    def matches(self, event: ConversionEvent) -> bool:
        """Return whether this subscriber may see the conversion and asked for it."""
        return (
            event.owner == self.owner
            and self._conversion_id in (None, event.id)
            and self.client_id in (None, event.client_id)
        )

    def notify(self, conversion_id: str) -> None:
        """Remember that this conversion may have changed."""
        if len(self._changed_ids) < MAX_CHANGED_IDS:
            self._changed_ids[conversion_id] = None
        else:
            self.has_overflowed = True
        self._notified.set()

    def close(self) -> None:
        """End the current wait, so that the stream notices that the server stops."""
        self._notified.set()

    async def changed_ids(self, within_s: float) -> list[str]:
        """Wait for changed conversions and return their ids, oldest first; empty after `within_s` without any."""
        try:
            async with asyncio.timeout(within_s):
                await self._notified.wait()
        except TimeoutError:
            return []
        self._notified.clear()
        ids, self._changed_ids = list(self._changed_ids), {}
        return ids


class LiveEvents:
    """Passes broker events on to subscribers and turns them into streams of records."""

    def __init__(self, conversions: ConversionStore, bus: EventBus, *, poll_s: float, ping_s: float) -> None:
        """`poll_s` is how often a stream re-reads its record; `ping_s` is the longest silence on a stream."""
        self._conversions = conversions
        self._bus = bus
        self._poll_s, self._ping_s = poll_s, ping_s
        self._subscribers: set[Subscriber] = set()
        self.is_closing = False

    async def run(self) -> None:
        """Pass broker events on until cancelled, and subscribe again after a broker outage."""
        while True:
            try:
                async with self._bus.subscribe() as events:
                    async for event in events:
                        self._notify(event)
            except BusUnavailable as error:
                log.warning("notifications.interrupted", code=error.stable_code, detail=error.detail)
            await asyncio.sleep(RESUBSCRIBE_S)

    def close(self) -> None:
        """End all streams and waits soon, because the server stops."""
        self.is_closing = True
        for subscriber in self._subscribers:
            subscriber.close()

    async def wait_terminal(self, conversion: Conversion, wait_s: float) -> Conversion:
        """Return the conversion when it has ended or after `wait_s`, whichever is first."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        with self._subscribe(conversion.owner, conversion.id, None) as subscriber:
            while not conversion.is_terminal and not self.is_closing and (left_s := deadline - loop.time()) > 0:
                conversion = await self._reload(conversion)
                if not conversion.is_terminal:
                    await subscriber.changed_ids(min(left_s, self._poll_s))
        return conversion

    async def follow(self, conversion: Conversion) -> AsyncGenerator[StreamEvent | None, None]:
        """Yield one conversion's snapshot and then each change until it ends; None stands for a ping."""
        with self._subscribe(conversion.owner, conversion.id, None) as subscriber:
            conversion = await self._reload(conversion)  # after subscribing: an earlier change would be missed
            yield "snapshot", conversion
            ping = _PingTimer(self._ping_s)
            while not conversion.is_terminal and not self.is_closing:
                await subscriber.changed_ids(min(self._poll_s, ping.left_s()))
                before, conversion = conversion, await self._reload(conversion)
                if _state(conversion) != _state(before):
                    ping.restart()
                    yield "conversion", conversion
                elif ping.is_due():
                    ping.restart()
                    yield None

    async def follow_all(
        self, owner: str, client_id: str | None, *, is_resumed: bool
    ) -> AsyncGenerator[StreamEvent | None, None]:
        """Yield a snapshot of each live conversion of an owner and then every change, without end; None is a ping."""
        with self._subscribe(owner, None, client_id) as subscriber:
            sent = _SentStates()
            since_ms = now_ms() - RESUMED_MS if is_resumed else now_ms()
            for conversion in reversed(await self._load_all(subscriber, sent)):
                if sent.add(conversion) and (not conversion.is_terminal or conversion.updated_at >= since_ms):
                    yield "snapshot", conversion
            ping = _PingTimer(self._ping_s)
            while not self.is_closing:
                ids = await subscriber.changed_ids(min(self._poll_s, ping.left_s()))
                for conversion in await self._changed(subscriber, sent, ids):
                    ping.restart()
                    yield "conversion", conversion
                if ping.is_due():
                    ping.restart()
                    yield None

    @contextmanager
    def _subscribe(self, owner: str, conversion_id: str | None, client_id: str | None) -> Iterator[Subscriber]:
        subscriber = Subscriber(owner, conversion_id, client_id)
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    def _notify(self, event: ConversionEvent) -> None:
        for subscriber in self._subscribers:
            if subscriber.matches(event):
                subscriber.notify(event.id)

    async def _reload(self, conversion: Conversion) -> Conversion:
        """Read the record again, or return it unchanged while the database is away; raises `NotFound` if deleted."""
        try:
            current = await self._conversions.get(conversion.id, owner=conversion.owner)
        except StoreUnavailable:
            return conversion
        if current is None:
            raise NotFound("The conversion was deleted")
        return current

    async def _changed(self, subscriber: Subscriber, sent: "_SentStates", ids: list[str]) -> list[Conversion]:
        try:
            if ids and not subscriber.has_overflowed:
                found = await self._load(subscriber.owner, ids)
            else:
                subscriber.has_overflowed = False
                found = await self._load_all(subscriber, sent)
        except StoreUnavailable:
            return []
        return [conversion for conversion in sorted(found, key=lambda one: one.updated_at) if sent.add(conversion)]

    async def _load(self, owner: str, conversion_ids: list[str]) -> list[Conversion]:
        found = [await self._conversions.get(one, owner=owner) for one in conversion_ids]
        return [conversion for conversion in found if conversion is not None]

    async def _load_all(self, subscriber: Subscriber, sent: "_SentStates") -> list[Conversion]:
        """Return the newest conversions, all live ones, and those that were live when last sent; newest first."""
        owner, client_id = subscriber.owner, subscriber.client_id
        newest = ConversionFilter(owner=owner, client_id=client_id, limit=NEWEST)
        live = ConversionFilter(owner=owner, client_id=client_id, statuses=LIVE, limit=MOST_LIVE)
        found = {one.id: one for query in (live, newest) for one in await self._conversions.find(query)}
        ended = await self._load(owner, [one for one in sent.live_ids() if one not in found])
        return sorted([*found.values(), *ended], key=lambda one: one.id, reverse=True)


def event_id(conversion: Conversion) -> str:
    """Return the id of the server-sent event; it changes with every change that a client should see."""
    return f"{conversion.id}:{conversion.token}:{conversion.beat}:{conversion.status}"


def _state(conversion: Conversion) -> tuple[str, int, Status]:
    return event_id(conversion), conversion.updated_at, conversion.status


class _SentStates:
    """The last state of each conversion that a stream has sent."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[str, int, Status]] = {}

    def add(self, conversion: Conversion) -> bool:
        """Record the conversion's state; returns False if it was sent before."""
        state = _state(conversion)
        if self._states.get(conversion.id) == state:
            return False
        self._states.pop(conversion.id, None)
        self._states[conversion.id] = state
        self._drop_oldest()
        return True

    def live_ids(self) -> list[str]:
        """Return the conversions that were live when they were last sent."""
        return [one for one, (_, _, status) in self._states.items() if status not in TERMINAL]

    def _drop_oldest(self) -> None:
        # The bound is far above what one poll can return, so a dropped state is never sent again as a change.
        if len(self._states) > 4 * (MOST_LIVE + NEWEST):
            del self._states[next(iter(self._states))]


class _PingTimer:
    """Measures the silence on a stream, in seconds."""

    def __init__(self, interval_s: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._interval_s = interval_s
        self._started_at = self._clock()

    def left_s(self) -> float:
        return max(self._interval_s - (self._clock() - self._started_at), 0.001)

    def is_due(self) -> bool:
        return self._clock() - self._started_at >= self._interval_s

    def restart(self) -> None:
        self._started_at = self._clock()
