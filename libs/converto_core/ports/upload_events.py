"""The port of the events with which an object store reports new objects."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class UploadMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of one message: the keys of new objects, none if it is about something else.

    `receipt` names this delivery. `deliveries` counts the deliveries of the message so far, this one included.
    `defect` says why the message could not be read, else it is empty.
    """

    id: str
    receipt: str
    keys: tuple[str, ...] = ()
    deliveries: int = 1
    defect: str = ""


class UploadEvents(Protocol):
    """A queue of messages, each delivered at least once and in any order.

    A delivered message is hidden from other consumers for a while. It comes back unless it is deleted, and a message
    that comes back too often becomes a dead letter of the queue.
    """

    @property
    def hidden_s(self) -> float:
        """How long a delivered message stays hidden (seconds)."""

    async def receive(self) -> list[UploadMessage]:
        """Wait a few seconds for messages and hide those returned; raises `UploadEventsUnavailable`."""

    async def delete(self, messages: Sequence[UploadMessage]) -> None:
        """Delete messages for good: nothing is left to do for them. At most as many as `receive` returns."""

    async def hide(self, message: UploadMessage, *, seconds: float) -> None:
        """Hide the message for so long from now on; does nothing if it has been deleted or delivered again."""
