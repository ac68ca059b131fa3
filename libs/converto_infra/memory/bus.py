"""In-memory twin of the event bus: a queue per family and lane, and live events for listeners, in one process.

It keeps the promises of the port (strict lanes, redelivery when a slot closes, bounded live events) and no others.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from converto_core.conversion.lane_orders import lane_orders
from converto_core.conversion.record import Lane
from converto_core.dead_letters import DeadLetteredMessage
from converto_core.errors import BusUnavailable
from converto_core.events import ConversionCreated, ConversionEvent
from converto_core.formats import Family
from converto_infra.event_buffer import EventBuffer

QueueKey = tuple[Family, Lane]


class MemoryEventBus:
    """Twin of `EventBus`; while `is_away` is set, publishing fails and slots wait."""

    def __init__(self) -> None:
        self._is_away = False
        self.faults: tuple[str, ...] = ()
        self._queues: dict[QueueKey, deque[ConversionCreated]] = {
            (family, lane): deque() for family in Family for lane in Lane
        }
        self._dead: deque[DeadLetteredMessage] = deque()
        self._changed = asyncio.Event()
        self._listeners: set[EventBuffer] = set()

    @property
    def is_away(self) -> bool:
        """True while the bus acts like a broker that is down."""
        return self._is_away

    @is_away.setter
    def is_away(self, value: bool) -> None:
        self._is_away = value
        self._changed.set()

    async def ping(self) -> None:
        """Raise `BusUnavailable` while `is_away` is set."""
        await asyncio.sleep(0)
        if self._is_away:
            raise BusUnavailable(detail="the in-memory twin is set to be unavailable")

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def publish(self, event: ConversionCreated) -> None:
        """Put a message into its queue; raises `BusUnavailable` when the queue does not exist."""
        await self.ping()
        queue = self._queues.get((event.family, event.lane))
        if queue is None:
            raise BusUnavailable(detail=f"no queue takes {event.routing_key}")
        queue.append(event)
        self._changed.set()

    async def backlog(self, family: Family, lane: Lane) -> int:
        """How many messages a queue holds; raises `BusUnavailable` when it does not exist."""
        await self.ping()
        if (family, lane) not in self._queues:
            raise BusUnavailable(detail=f"there is no queue for {family} and {lane}")
        return self.waiting(family, lane)

    async def publish_event(self, event: ConversionEvent) -> None:
        """Send a live event to all listeners; it is lost while `is_away` is set."""
        await asyncio.sleep(0)
        if not self._is_away:
            for listener in self._listeners:
                listener.put(event)

    @asynccontextmanager
    async def open_slot(self, families: Sequence[Family], *, quarantine: bool = False) -> AsyncIterator["MemorySlot"]:
        """The consumer of one slot; an unsettled message returns to its queue when the consumer closes."""
        slot = MemorySlot(self, families, lane_orders(quarantine=quarantine))
        try:
            yield slot
        finally:
            await slot.close()

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator["MemoryDeadLetterQueue"]:
        """The queue of dead letters; unaccepted ones return when it closes."""
        source = MemoryDeadLetterQueue(self, self._dead)
        try:
            yield source
        finally:
            source.close()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[ConversionEvent]]:
        """All live events from now on; a slow reader loses the oldest."""
        listener = EventBuffer()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def add_dead_letter(self, letter: DeadLetteredMessage) -> None:
        """Add a dead letter, as a broker does with a rejected message."""
        self._dead.append(letter)

    @property
    def dead_letter_count(self) -> int:
        """How many dead letters their queue holds."""
        return len(self._dead)

    def waiting(self, family: Family, lane: Lane) -> int:
        """How many messages a queue holds; 0 when it does not exist."""
        return len(self._queues.get((family, lane), ()))

    def purge(self) -> None:
        """Empty all queues, as an operator can on a broker."""
        for queue in self._queues.values():
            queue.clear()

    def drop_queue(self, family: Family, lane: Lane) -> None:
        """Delete a queue, so that its messages cannot be routed any more."""
        self._queues.pop((family, lane), None)

    def make_queue(self, family: Family, lane: Lane) -> None:
        """Create an empty queue unless it exists."""
        self._queues.setdefault((family, lane), deque())

    def pop(self, keys: Sequence[QueueKey]) -> ConversionCreated | None:
        """The first message of the first queue that has one, or None."""
        if self._is_away:
            return None
        return next((self._queues[key].popleft() for key in keys if self._queues.get(key)), None)

    def requeue(self, event: ConversionCreated) -> None:
        """Return an unsettled message to the head of its queue."""
        queue = self._queues.get((event.family, event.lane))
        if queue is not None:
            queue.appendleft(event)
        self._changed.set()

    async def wait_for_message(self, keys: Sequence[QueueKey]) -> ConversionCreated:
        """Wait until one of the queues has a message."""
        while (event := self.pop(keys)) is None:
            self._changed.clear()  # other waiters still wake up at the next `set`
            await self._changed.wait()
        return event


class MemorySlot:
    """Twin of `Consumer`: strict lanes, and within a lane the families take turns."""

    def __init__(self, bus: MemoryEventBus, families: Sequence[Family], orders: Sequence[Sequence[Lane]]) -> None:
        self._bus, self._families, self._orders = bus, deque(families), deque(orders)
        self._held: MemoryDelivery | None = None

    async def next(self) -> "MemoryDelivery":
        """Wait for the next message, high lane first; an unsettled one is released before."""
        await self.close()
        self._families.rotate(-1)
        self._orders.rotate(-1)
        event = await self._bus.wait_for_message(
            [(family, lane) for lane in self._orders[0] for family in self._families]
        )
        self._held = MemoryDelivery(self._bus, event)
        return self._held

    async def close(self) -> None:
        """Release an unsettled message."""
        if self._held is not None:
            await self._held.release()


class MemoryDelivery:
    """Twin of `Delivery`: the first settlement counts, later ones do nothing."""

    def __init__(self, bus: MemoryEventBus, event: ConversionCreated) -> None:
        self._bus, self._event, self._is_settled = bus, event, False

    @property
    def event(self) -> ConversionCreated:
        """The event in the message."""
        return self._event

    async def accept(self) -> None:
        """Acknowledge."""
        self._is_settled = True

    async def release(self) -> None:
        """Return the message to its queue."""
        if not self._is_settled:
            self._is_settled = True
            self._bus.requeue(self._event)


class MemoryDeadLetterQueue:
    """Twin of `DeadLetterQueue`."""

    def __init__(self, bus: MemoryEventBus, dead: deque[DeadLetteredMessage]) -> None:
        self._bus, self._dead = bus, dead
        self._taken: list[MemoryDeadLetterDelivery] = []

    async def take(self) -> "MemoryDeadLetterDelivery | None":
        """The next dead letter, or None when the queue is empty; raises `BusUnavailable`."""
        await self._bus.ping()
        if not self._dead:
            return None
        delivery = MemoryDeadLetterDelivery(self._dead.popleft())
        self._taken.append(delivery)
        return delivery

    def close(self) -> None:
        """Return the unaccepted letters, in their order."""
        self._dead.extendleft(one.letter for one in reversed(self._taken) if not one.is_accepted)


class MemoryDeadLetterDelivery:
    """Twin of `DeadLetterDelivery`."""

    def __init__(self, letter: DeadLetteredMessage) -> None:
        self._letter, self.is_accepted = letter, False

    @property
    def letter(self) -> DeadLetteredMessage:
        """The dead letter."""
        return self._letter

    async def accept(self) -> None:
        """Acknowledge."""
        self.is_accepted = True
