"""In-memory twin of the event bus: queues for each family and lane, and facts for listeners, within one process.

It keeps the promises of the port (strict lanes, redelivery when a slot closes, bounded facts) and no others.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from converto_core.conversion.record import Lane
from converto_core.dead_letters import DeadLetteredMessage
from converto_core.errors import BusUnavailable
from converto_core.events import ConversionCreated, ConversionEvent
from converto_core.formats import Family
from converto_infra.event_buffer import EventBuffer
from converto_infra.lane_orders import lane_orders

QueueKey = tuple[Family, Lane]


class MemoryEventBus:
    """Twin of `EventBus`; while `is_away` is set, publishing fails and slots wait."""

    def __init__(self) -> None:
        self._is_away = False
        self._queues: dict[QueueKey, deque[ConversionCreated]] = {
            (family, lane): deque() for family in Family for lane in Lane
        }
        self._dead: deque[DeadLetteredMessage] = deque()
        self._changed = asyncio.Event()
        self._listeners: set[EventBuffer] = set()

    @property
    def is_away(self) -> bool:
        """True while the bus plays a broker that is gone."""
        return self._is_away

    @is_away.setter
    def is_away(self, value: bool) -> None:
        self._is_away = value
        self._changed.set()

    async def ping(self) -> None:
        """Raise `BusUnavailable` while `is_away` is set."""
        await asyncio.sleep(0)
        if self._is_away:
            raise BusUnavailable(detail="the memory twin is set to be away")

    async def close(self) -> None:
        """Nothing to close here."""

    async def publish(self, event: ConversionCreated) -> None:
        """Put a wake-up into its queue; raises `BusUnavailable` when there is none."""
        await self.ping()
        queue = self._queues.get((event.family, event.lane))
        if queue is None:
            raise BusUnavailable(detail=f"no queue takes {event.routing_key}")
        queue.append(event)
        self._changed.set()

    async def backlog(self, family: Family, lane: Lane) -> int:
        """How many wake-ups lie in a queue; raises `BusUnavailable` when there is none."""
        await self.ping()
        if (family, lane) not in self._queues:
            raise BusUnavailable(detail=f"there is no queue for {family} and {lane}")
        return self.waiting(family, lane)

    async def publish_event(self, event: ConversionEvent) -> None:
        """Hand a fact to all listeners; lost while the bus is away."""
        await asyncio.sleep(0)
        if not self._is_away:
            for listener in self._listeners:
                listener.put(event)

    @asynccontextmanager
    async def open_slot(self, families: Sequence[Family], *, quarantine: bool = False) -> AsyncIterator["MemorySlot"]:
        """One slot's view of the queues; what it has not settled goes back when it closes."""
        slot = MemorySlot(self, families, lane_orders(quarantine=quarantine))
        try:
            yield slot
        finally:
            await slot.close()

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator["MemoryDeadLetterQueue"]:
        """The queue of dead letters; what was not accepted goes back when it closes."""
        source = MemoryDeadLetterQueue(self, self._dead)
        try:
            yield source
        finally:
            source.close()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[ConversionEvent]]:
        """All facts from now on; a slow reader loses the oldest."""
        listener = EventBuffer()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def add_dead_letter(self, letter: DeadLetteredMessage) -> None:
        """Set a message aside, as a broker does with one that was rejected, for tests."""
        self._dead.append(letter)

    @property
    def dead_letter_count(self) -> int:
        """How many dead letters lie in their queue, for tests."""
        return len(self._dead)

    def waiting(self, family: Family, lane: Lane) -> int:
        """How many wake-ups lie in a queue, for tests."""
        return len(self._queues.get((family, lane), ()))

    def purge(self) -> None:
        """Empty all queues, as an operator may do to a broker, for tests."""
        for queue in self._queues.values():
            queue.clear()

    def drop_queue(self, family: Family, lane: Lane) -> None:
        """Delete a queue, so that its wake-ups cannot be routed any more, for tests."""
        self._queues.pop((family, lane), None)

    def make_queue(self, family: Family, lane: Lane) -> None:
        """Make an empty queue where there is none, for tests."""
        self._queues.setdefault((family, lane), deque())

    def pop(self, keys: Sequence[QueueKey]) -> ConversionCreated | None:
        """The first wake-up of the first queue that has one."""
        if self._is_away:
            return None
        return next((self._queues[key].popleft() for key in keys if self._queues.get(key)), None)

    def give_back(self, event: ConversionCreated) -> None:
        """Put an unsettled wake-up back where it was: at the head of its queue."""
        queue = self._queues.get((event.family, event.lane))
        if queue is not None:
            queue.appendleft(event)
        self._changed.set()

    async def pop_later(self, keys: Sequence[QueueKey]) -> ConversionCreated:
        """Wait until one of the queues has a wake-up."""
        while (event := self.pop(keys)) is None:
            self._changed.clear()  # whoever waits already is woken by the next `set` all the same
            await self._changed.wait()
        return event


class MemorySlot:
    """Twin of `Consumer`: strict lanes, and within a lane the families take turns."""

    def __init__(self, bus: MemoryEventBus, families: Sequence[Family], orders: Sequence[Sequence[Lane]]) -> None:
        self._bus, self._families, self._orders = bus, deque(families), deque(orders)
        self._held: MemoryDelivery | None = None

    async def next(self) -> "MemoryDelivery":
        """Wait for the next wake-up, high lane first; one that was left unsettled goes back before."""
        await self.close()
        self._families.rotate(-1)
        self._orders.rotate(-1)
        event = await self._bus.pop_later([(family, lane) for lane in self._orders[0] for family in self._families])
        self._held = MemoryDelivery(self._bus, event)
        return self._held

    async def close(self) -> None:
        """Give back what is unsettled."""
        if self._held is not None:
            await self._held.release()


class MemoryDelivery:
    """Twin of `Delivery`: the first settlement counts, later ones do nothing."""

    def __init__(self, bus: MemoryEventBus, event: ConversionCreated) -> None:
        self._bus, self._event, self._is_settled = bus, event, False

    @property
    def event(self) -> ConversionCreated:
        """What was delivered."""
        return self._event

    async def accept(self) -> None:
        """Acknowledge."""
        self._is_settled = True

    async def release(self) -> None:
        """Give it back to the queue."""
        if not self._is_settled:
            self._is_settled = True
            self._bus.give_back(self._event)


class MemoryDeadLetterQueue:
    """Twin of `DeadLetterQueue`."""

    def __init__(self, bus: MemoryEventBus, dead: deque[DeadLetteredMessage]) -> None:
        self._bus, self._dead = bus, dead
        self._taken: list[MemoryDeadLetterDelivery] = []

    async def take(self) -> "MemoryDeadLetterDelivery | None":
        """The next dead letter, or None when there is none; raises `BusUnavailable`."""
        await self._bus.ping()
        if not self._dead:
            return None
        delivery = MemoryDeadLetterDelivery(self._dead.popleft())
        self._taken.append(delivery)
        return delivery

    def close(self) -> None:
        """Give back what was not accepted, in its order."""
        self._dead.extendleft(one.letter for one in reversed(self._taken) if not one.is_accepted)


class MemoryDeadLetterDelivery:
    """Twin of `DeadLetterDelivery`."""

    def __init__(self, letter: DeadLetteredMessage) -> None:
        self._letter, self.is_accepted = letter, False

    @property
    def letter(self) -> DeadLetteredMessage:
        """What was set aside."""
        return self._letter

    async def accept(self) -> None:
        """Acknowledge."""
        self.is_accepted = True
