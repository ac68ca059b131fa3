"""In-memory twin of `UploadEvents`: a queue with hidden messages and dead letters."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec

from converto_core.errors import UploadEventsUnavailable
from converto_core.ports.upload_events import UploadMessage

BATCH = 10


class _Stored(msgspec.Struct):
    message: UploadMessage
    visible_at_s: float


class MemoryUploadEvents:
    """Twin of `UploadEvents`; while `is_away` is set, every call fails as if the server were down."""

    def __init__(
        self,
        *,
        hidden_s: float = 60,
        wait_s: float = 0.05,
        max_deliveries: int = 10,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`receive` waits for `wait_s`; a message delivered more than `max_deliveries` times becomes a dead letter."""
        self.is_away = False
        self.dead_letters: list[UploadMessage] = []
        self._hidden_s, self._wait_s, self._max_deliveries = hidden_s, wait_s, max_deliveries
        self._monotonic = monotonic
        self._stored: dict[str, _Stored] = {}
        self._changed = asyncio.Event()

    @property
    def hidden_s(self) -> float:
        """How long a delivered message stays hidden."""
        return self._hidden_s

    @property
    def waiting(self) -> list[UploadMessage]:
        """All messages that are not deleted, hidden ones included."""
        return [one.message for one in self._stored.values()]

    def send(self, *keys: str, defect: str = "") -> None:
        """Add a message, as the object store does for new objects."""
        name = secrets.token_hex(8)
        message = UploadMessage(id=name, receipt="", keys=keys, deliveries=0, defect=defect)
        self._stored[name] = _Stored(message, visible_at_s=self._monotonic())
        self._changed.set()

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def receive(self) -> list[UploadMessage]:
        """Up to ten visible messages, as soon as there is one; none after `wait_s`."""
        await self._answer()
        if not (found := self._visible()):
            self._changed.clear()
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
            found = self._visible()
        return [delivered for one in found[:BATCH] if (delivered := self._deliver(one)) is not None]

    async def delete(self, messages: Sequence[UploadMessage]) -> None:
        """Delete messages by the receipts of their last deliveries."""
        await self._answer()
        for message in messages:
            if self._is_current(message):
                del self._stored[message.id]

    async def hide(self, message: UploadMessage, *, seconds: float) -> None:
        """Hide a message from now on; does nothing if it was deleted or delivered again."""
        await self._answer()
        if self._is_current(message):
            self._stored[message.id].visible_at_s = self._monotonic() + seconds
            self._changed.set()

    def _visible(self) -> list[_Stored]:
        return [one for one in self._stored.values() if one.visible_at_s <= self._monotonic()]

    def _deliver(self, one: _Stored) -> UploadMessage | None:
        if one.message.deliveries >= self._max_deliveries:
            self.dead_letters.append(self._stored.pop(one.message.id).message)
            return None
        one.message = msgspec.structs.replace(
            one.message, receipt=secrets.token_hex(8), deliveries=one.message.deliveries + 1
        )
        one.visible_at_s = self._monotonic() + self._hidden_s
        return one.message

    def _is_current(self, message: UploadMessage) -> bool:
        stored = self._stored.get(message.id)
        return stored is not None and stored.message.receipt == message.receipt

    async def _answer(self) -> None:
        await asyncio.sleep(0)  # lets other tasks run, as a network call would
        if self.is_away:
            raise UploadEventsUnavailable(detail="the in-memory twin is set to be unavailable")
