"""The message bus port: messages for workers, live events for displays."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from converto_core.conversion.record import Lane
from converto_core.events import ConversionCreated, ConversionEvent
from converto_core.formats import Family
from converto_core.ports.dead_letters import DeadLetterQueue


class Delivery(Protocol):
    """One delivered message. The consumer has to settle it exactly once."""

    @property
    def event(self) -> ConversionCreated:
        """The message."""

    async def accept(self) -> None:
        """Acknowledge: from here on the database drives the conversion, whatever happens to this process."""

    async def release(self) -> None:
        """Return it to the queue for another worker."""


class Consumer(Protocol):
    """The consumer of one worker slot; it holds at most one unsettled message."""

    async def next(self) -> Delivery:
        """Wait for the next message, high lane first; resumes after the broker was unreachable."""


class EventBus(Protocol):
    """Publishes and delivers messages and live events."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with single queues, and what to do about it; everything else works."""

    async def ping(self) -> None:
        """Raise `BusUnavailable` unless the broker answers."""

    async def publish(self, event: ConversionCreated) -> None:
        """Publish a message, persistent and confirmed; raises `BusUnavailable`, also when no queue accepts it."""

    async def backlog(self, family: Family, lane: Lane) -> int:
        """How many undelivered messages a queue holds; raises `BusUnavailable`, also when the queue is missing."""

    async def publish_event(self, event: ConversionEvent) -> None:
        """Publish a live event. Never raises: events may be lost, because the record in the database is the truth."""

    def open_slot(
        self, families: Sequence[Family], *, quarantine: bool = False
    ) -> AbstractAsyncContextManager[Consumer]:
        """Open a consumer on a channel of its own; with `quarantine` it also consumes that lane."""

    def dead_letters(self) -> AbstractAsyncContextManager[DeadLetterQueue]:
        """Open the dead letter queue on a channel of its own; concurrent readers never get the same letter."""

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[ConversionEvent]]:
        """All live events from now on; a slow reader loses the oldest ones and never blocks the bus."""
