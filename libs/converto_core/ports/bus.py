"""The message bus port: messages for workers, live events for listeners."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from converto_core.conversion.record import Lane
from converto_core.dead_letters import DeadLetteredMessage
from converto_core.events import ConversionCreated, ConversionEvent
from converto_core.formats import Family


class Delivery(Protocol):
    """One delivered wake-up. It has to be settled exactly once."""

    @property
    def event(self) -> ConversionCreated:
        """What was delivered."""

    async def accept(self) -> None:
        """Acknowledge: the database knows what to do from here, whatever happens to us."""

    async def release(self) -> None:
        """Give it back to the queue for another worker."""


class Consumer(Protocol):
    """One slot's view of the queues: it holds at most one unsettled wake-up."""

    async def next(self) -> Delivery:
        """Wait for the next wake-up, high lane first; goes on by itself after the broker was away."""


class DeadLetterDelivery(Protocol):
    """One dead letter in our hands."""

    @property
    def letter(self) -> DeadLetteredMessage:
        """What was set aside."""

    async def accept(self) -> None:
        """Acknowledge: the broker forgets it. Raises nothing; if it does not get through, the letter comes again."""


class DeadLetterQueue(Protocol):
    """The queue of dead letters. What is not accepted when it closes goes back."""

    async def take(self) -> DeadLetterDelivery | None:
        """The next dead letter, or None when there is none; raises `BusUnavailable`."""


class EventBus(Protocol):
    """Wake-ups for workers and facts for listeners."""

    async def ping(self) -> None:
        """Raise unless the broker answers."""

    async def publish(self, event: ConversionCreated) -> None:
        """Publish a wake-up, persistent and confirmed; raises `BusUnavailable` also when no queue takes it."""

    async def backlog(self, family: Family, lane: Lane) -> int:
        """How many wake-ups lie in a queue that nobody was handed yet; raises `BusUnavailable`, also without queue."""

    async def publish_event(self, event: ConversionEvent) -> None:
        """Publish a fact; never raises for a broker that is away (facts may be lost, the record is the truth)."""

    def open_slot(
        self, families: Sequence[Family], *, quarantine: bool = False
    ) -> AbstractAsyncContextManager[Consumer]:
        """A channel of its own for one slot; with `quarantine` it also takes that lane."""

    def dead_letters(self) -> AbstractAsyncContextManager[DeadLetterQueue]:
        """The queue of dead letters, on a channel of its own; several readers never hold the same letter."""

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[ConversionEvent]]:
        """All facts from now on; a slow reader loses the oldest, never blocks the bus."""
