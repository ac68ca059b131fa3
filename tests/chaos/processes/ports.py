"""The real ports, with points at which their process may die around single calls. What they do is not changed."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, HistoryEvent, Status
from converto_core.events import ConversionCreated
from tests.chaos.processes.death import Death
from tests.chaos.report.journal import Journal

UNDER_WAY_S = 0.005  # by then a transfer has sent its request


class Around:
    """Passes everything on to what it stands around."""

    def __init__(self, inner: Any, death: Death) -> None:
        self._inner, self._death = inner, death

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class MortalStores(Around):
    """All stores, with points around the store of conversions."""

    def __init__(self, inner: Any, death: Death, journal: Journal) -> None:
        super().__init__(inner, death)
        self.conversions = MortalConversions(inner.conversions, death, journal)


class MortalConversions(Around):
    """Points around the insert of the API, and around claim and completion of a worker; both are written down."""

    def __init__(self, inner: Any, death: Death, journal: Journal) -> None:
        super().__init__(inner, death)
        self._journal = journal

    async def insert(self, conversion: Conversion) -> None:
        """The durable acceptance."""
        self._death.may_come("before insert")
        await self._inner.insert(conversion)
        self._death.may_come("after insert")

    async def apply(self, change: Change) -> Conversion | None:
        """Any update."""
        if change.event is HistoryEvent.STARTED:
            return await self._claim(change)
        if change.event is HistoryEvent.COMPLETED:
            return await self._complete(change)
        after = await self._inner.apply(change)
        if Status.PROCESSING in change.expected and change.to is not Status.PROCESSING and "token" in change.where:
            self._journal.note("settled", _run_of(change))
        return after

    async def _claim(self, change: Change) -> Conversion | None:
        after = await self._inner.apply(change)
        if after is not None:
            run = f"{after.id}-{after.token}"
            self._journal.note("claimed", run)
            self._death.may_come("claimed", run)
        return after

    async def _complete(self, change: Change) -> Conversion | None:
        self._death.may_come("before completion", _run_of(change))
        after = await self._inner.apply(change)
        self._journal.note("settled", _run_of(change))
        self._death.may_come("after completion")
        return after


class MortalObjects(Around):
    """Points in the middle of a worker's transfers."""

    async def download(self, key: str, path: Path) -> Any:
        """The source; its run is the folder two above it."""
        return await self._dying(self._inner.download(key, path), "downloading", path.parent.parent.name)

    async def upload(self, path: Path, key: str, **how: Any) -> Any:
        """A result."""
        return await self._dying(self._inner.upload(path, key, **how), "uploading", path.parent.parent.name)

    async def _dying(self, transfer: Coroutine[Any, Any, Any], point: str, run: str) -> Any:
        running = asyncio.ensure_future(transfer)
        try:
            await asyncio.wait({running}, timeout=UNDER_WAY_S)
            self._death.may_come(point, run)
            return await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running})


class MortalBus(Around):
    """Points after a publish, after a delivery and after an acknowledgement."""

    async def publish(self, event: ConversionCreated) -> None:
        """A wake-up that the broker has confirmed, which nobody has been told yet."""
        await self._inner.publish(event)
        self._death.may_come("after publish")

    @asynccontextmanager
    async def open_slot(self, *given: Any, **more: Any) -> AsyncIterator["MortalSlot"]:
        """A slot's view of the queues."""
        async with self._inner.open_slot(*given, **more) as source:
            yield MortalSlot(source, self._death)


class MortalSlot(Around):
    """Deliveries."""

    async def next(self) -> "MortalWakeup":
        """The next wake-up."""
        wakeup = await self._inner.next()
        self._death.may_come("received")
        return MortalWakeup(wakeup, self._death)


class MortalWakeup(Around):
    """Acknowledgements."""

    async def accept(self) -> None:
        """The claim is in the database, the message is gone, and nothing has been done yet."""
        await self._inner.accept()
        self._death.may_come("acknowledged", f"{self.event.id}-{self.event.token + 1}")


def _run_of(change: Change) -> str:
    return f"{change.id}-{change.where['token']}"
