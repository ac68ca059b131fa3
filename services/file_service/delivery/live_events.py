"""Live news about conversions: one fan-out per process, fed by the bus, and streams that are right without it too.

A fact from the bus is only a hint to look at the record now; each stream also looks by itself now and then. So what a
listener sees is always the record, in the record's order, and a broker that is away costs a second or two of delay.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import structlog

from converto_core.conversion.record import TERMINAL, Conversion, Status
from converto_core.errors import BusUnavailable, NotFound, StoreUnavailable
from converto_core.events import ConversionEvent
from converto_core.ids import now_ms
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionFilter, ConversionStore

MOST_HINTS = 500
"""A listener that is further behind looks at all its conversions instead of remembering each hint."""
MOST_LIVE = 200
"""How many live conversions one stream of a whole owner follows."""
NEWEST = 50
"""How many of the newest conversions, finished ones included, such a stream compares each time it looks."""
RESUMED_MS = 3_600_000
"""After a reconnection the snapshot also holds what finished within the last hour."""
RELISTEN_S = 1.0

LIVE = (Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING)
News = tuple[str, Conversion]
"""`snapshot` or `conversion`, and the record."""

log = structlog.get_logger()


class Listener:
    """One stream's mailbox: which conversions may have changed since it last looked. It never grows without bound."""

    def __init__(self, owner: str, conversion_id: str | None, client_id: str | None) -> None:
        self._owner, self._conversion_id, self._client_id = owner, conversion_id, client_id
        self._hints: dict[str, None] = {}
        self._woken = asyncio.Event()
        self.has_overflowed = False

    def concerns(self, fact: ConversionEvent) -> bool:
        """True when this listener may and wants to see it."""
        return (
            fact.owner == self._owner
            and self._conversion_id in (None, fact.id)
            and self._client_id in (None, fact.client_id)
        )

    def hint(self, conversion_id: str) -> None:
        """Remember that this conversion may have changed."""
        if len(self._hints) < MOST_HINTS:
            self._hints[conversion_id] = None
        else:
            self.has_overflowed = True
        self._woken.set()

    def wake(self) -> None:
        """Let the stream go on without a hint, because everything ends."""
        self._woken.set()

    async def hints(self, within_s: float) -> list[str]:
        """What was hinted at, oldest first; empty when nothing came in time."""
        try:
            async with asyncio.timeout(within_s):
                await self._woken.wait()
        except TimeoutError:
            return []
        self._woken.clear()
        hinted, self._hints = list(self._hints), {}
        return hinted


class Notifications:
    """Distributes facts to listeners and makes streams of records from them."""

    def __init__(self, conversions: ConversionStore, bus: EventBus, *, poll_s: float, ping_s: float) -> None:
        """`poll_s`: how often a stream looks at the record itself; `ping_s`: longest silence on a stream."""
        self._conversions = conversions
        self._bus = bus
        self._poll_s, self._ping_s = poll_s, ping_s
        self._listeners: set[Listener] = set()
        self.is_closing = False

    async def run(self) -> None:
        """Hand out facts until cancelled; the bus comes back by itself, so does this loop."""
        while True:
            try:
                async with self._bus.subscribe() as facts:
                    async for fact in facts:
                        self._hand_out(fact)
            except BusUnavailable as error:
                log.warning("notifications.interrupted", code=error.stable_code, detail=error.detail)
            await asyncio.sleep(RELISTEN_S)

    def close(self) -> None:
        """End all streams and waits soon: the server stops."""
        self.is_closing = True
        for listener in self._listeners:
            listener.wake()

    async def wait_terminal(self, conversion: Conversion, wait_s: float) -> Conversion:
        """The conversion as it is when it ends or when the time is over, whichever is first."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        with self._listen(conversion.owner, conversion.id, None) as listener:
            while not conversion.is_terminal and not self.is_closing and (left_s := deadline - loop.time()) > 0:
                conversion = await self._look(conversion)
                if not conversion.is_terminal:
                    await listener.hints(min(left_s, self._poll_s))
        return conversion

    async def follow(self, conversion: Conversion) -> AsyncIterator[News | None]:
        """One conversion until it ends: its snapshot, then each change. None means: send a sign of life."""
        with self._listen(conversion.owner, conversion.id, None) as listener:
            conversion = await self._look(conversion)  # only now: a change before we listened would go ignore_report
            yield "snapshot", conversion
            silence = _Silence(self._ping_s)
            while not conversion.is_terminal and not self.is_closing:
                await listener.hints(min(self._poll_s, silence.left_s()))
                before, conversion = conversion, await self._look(conversion)
                if _state(conversion) != _state(before):
                    silence.broken()
                    yield "conversion", conversion
                elif silence.is_over():
                    silence.broken()
                    yield None

    async def follow_all(self, owner: str, client_id: str | None, *, is_resumed: bool) -> AsyncIterator[News | None]:
        """All conversions of an owner, without end: snapshots of the live ones, then each change."""
        with self._listen(owner, None, client_id) as listener:
            seen = _Seen()
            since_ms = now_ms() - RESUMED_MS if is_resumed else now_ms()
            for conversion in reversed(await self._look_at_all(owner, client_id, seen)):
                if seen.is_news(conversion) and (not conversion.is_terminal or conversion.updated_at >= since_ms):
                    yield "snapshot", conversion
            silence = _Silence(self._ping_s)
            while not self.is_closing:
                hinted = await listener.hints(min(self._poll_s, silence.left_s()))
                for conversion in await self._changed(owner, client_id, listener, seen, hinted):
                    silence.broken()
                    yield "conversion", conversion
                if silence.is_over():
                    silence.broken()
                    yield None

    @contextmanager
    def _listen(self, owner: str, conversion_id: str | None, client_id: str | None) -> Iterator[Listener]:
        listener = Listener(owner, conversion_id, client_id)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _hand_out(self, fact: ConversionEvent) -> None:
        for listener in self._listeners:
            if listener.concerns(fact):
                listener.hint(fact.id)

    async def _look(self, conversion: Conversion) -> Conversion:
        """The record now; as it was when the database is away. Raises `NotFound` when it was deleted."""
        try:
            now = await self._conversions.get(conversion.id, owner=conversion.owner)
        except StoreUnavailable:
            return conversion
        if now is None:
            raise NotFound("The conversion was deleted")
        return now

    async def _changed(
        self, owner: str, client_id: str | None, listener: Listener, seen: "_Seen", hinted: list[str]
    ) -> list[Conversion]:
        try:
            if hinted and not listener.has_overflowed:
                found = await self._look_at(owner, hinted)
            else:
                listener.has_overflowed = False
                found = await self._look_at_all(owner, client_id, seen)
        except StoreUnavailable:
            return []
        return [conversion for conversion in sorted(found, key=lambda one: one.updated_at) if seen.is_news(conversion)]

    async def _look_at(self, owner: str, conversion_ids: list[str]) -> list[Conversion]:
        found = [await self._conversions.get(one, owner=owner) for one in conversion_ids]
        return [conversion for conversion in found if conversion is not None]

    async def _look_at_all(self, owner: str, client_id: str | None, seen: "_Seen") -> list[Conversion]:
        """The newest ones, all live ones, and those that were live when we last looked."""
        newest = ConversionFilter(owner=owner, client_id=client_id, limit=NEWEST)
        live = ConversionFilter(owner=owner, client_id=client_id, statuses=LIVE, limit=MOST_LIVE)
        found = {one.id: one for query in (live, newest) for one in await self._conversions.find(query)}
        ended = await self._look_at(owner, [one for one in seen.live_ids() if one not in found])
        return sorted([*found.values(), *ended], key=lambda one: one.id, reverse=True)


def news_id(conversion: Conversion) -> str:
    """The id of a server-sent event: it changes with everything worth telling."""
    return f"{conversion.id}:{conversion.token}:{conversion.beat}:{conversion.status}"


def _state(conversion: Conversion) -> tuple[str, int, Status]:
    return news_id(conversion), conversion.updated_at, conversion.status


class _Seen:
    """What a stream has told already, by conversion."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, int, Status]] = {}

    def is_news(self, conversion: Conversion) -> bool:
        """True once for each state of a conversion."""
        told = _state(conversion)
        if self._told.get(conversion.id) == told:
            return False
        self._told.pop(conversion.id, None)
        self._told[conversion.id] = told
        self._forget_old()
        return True

    def live_ids(self) -> list[str]:
        """Conversions that were live when they were last told of."""
        return [one for one, (_, _, status) in self._told.items() if status not in TERMINAL]

    def _forget_old(self) -> None:
        # Far more than one look can return, so that forgetting never makes old news new again.
        if len(self._told) > 4 * (MOST_LIVE + NEWEST):
            del self._told[next(iter(self._told))]


class _Silence:
    """How long nothing was sent."""

    def __init__(self, longest_s: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._longest_s = longest_s
        self._since = self._clock()

    def left_s(self) -> float:
        return max(self._longest_s - (self._clock() - self._since), 0.001)

    def is_over(self) -> bool:
        return self._clock() - self._since >= self._longest_s

    def broken(self) -> None:
        self._since = self._clock()
