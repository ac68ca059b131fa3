"""The dead letter ports: the queue that the broker moves messages to, and the store that keeps them as records."""

from typing import Protocol

import msgspec

from converto_core.dead_letters import DeadLetter, DeadLetteredMessage, Reason


class DeadLetterDelivery(Protocol):
    """One dead letter that was taken from the queue and is not acknowledged yet."""

    @property
    def letter(self) -> DeadLetteredMessage:
        """The message and what the broker reports about it."""

    async def accept(self) -> None:
        """Acknowledge, so the broker drops it. Never raises; an acknowledgement that is lost means a redelivery."""


class DeadLetterQueue(Protocol):
    """The queue of dead letters. Closing it returns everything that was not accepted."""

    async def take(self) -> DeadLetterDelivery | None:
        """The next dead letter, or None when the queue is empty; raises `BusUnavailable`."""


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters to list, latest first: all conditions hold; `after` is the last id of the previous page."""

    reason: Reason | None = None
    conversion_id: str | None = None
    after: str | None = None
    limit: int = 50


class DeadLetterStore(Protocol):
    """Dead letters as records."""

    async def insert(self, message: DeadLetter) -> None:
        """Store a new record durably; raises `DuplicateKey` when this dead letter is already stored."""

    async def get(self, message_id: str) -> DeadLetter | None:
        """The record, or None."""

    async def find(self, query: DeadLetterFilter) -> list[DeadLetter]:
        """The latest first (by id), at most `query.limit`."""

    async def delete(self, message_id: str) -> bool:
        """Remove a record; False when it does not exist."""

    async def stored_before(self, before_ms: int, *, limit: int) -> list[DeadLetter]:
        """Records stored before the given time, oldest first."""
