"""The real ports, with crash points around single calls."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, HistoryEvent, Status
from converto_core.events import ConversionCreated
from tests.chaos.processes.crash_points import CrashPoints
from tests.chaos.report.journal import Journal

UNDER_WAY_S = 0.005  # by then a transfer has sent its request


class Wrapper:
    """Delegates everything to the wrapped object."""

    def __init__(self, inner: Any, crash_points: CrashPoints) -> None:
        self._inner, self._crash_points = inner, crash_points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class CrashingStores(Wrapper):
    """All stores, with crash points around the conversion store."""

    def __init__(self, inner: Any, crash_points: CrashPoints, journal: Journal) -> None:
        super().__init__(inner, crash_points)
        self.conversions = CrashingConversions(inner.conversions, crash_points, journal)


class CrashingConversions(Wrapper):
    """Crash points around the API's insert and a worker's claim and completion; the journal records the latter two."""

    def __init__(self, inner: Any, crash_points: CrashPoints, journal: Journal) -> None:
        super().__init__(inner, crash_points)
        self._journal = journal

    async def insert(self, conversion: Conversion) -> None:
        """Insert a conversion: the durable acceptance."""
        self._crash_points.crash_if_requested("before insert")
        await self._inner.insert(conversion)
        self._crash_points.crash_if_requested("after insert")

    async def apply(self, change: Change) -> Conversion | None:
        """Apply an update."""
        if change.event is HistoryEvent.STARTED:
            return await self._claim(change)
        if change.event is HistoryEvent.COMPLETED:
            return await self._complete(change)
        after = await self._inner.apply(change)
        if Status.PROCESSING in change.expected and change.to is not Status.PROCESSING and "token" in change.where:
            self._journal.note("ended", _run_of(change))
        return after

    async def _claim(self, change: Change) -> Conversion | None:
        after = await self._inner.apply(change)
        if after is not None:
            run = f"{after.id}-{after.token}"
            self._journal.note("claimed", run)
            self._crash_points.crash_if_requested("claimed", run)
        return after

    async def _complete(self, change: Change) -> Conversion | None:
        self._crash_points.crash_if_requested("before completion", _run_of(change))
        after = await self._inner.apply(change)
        self._journal.note("ended", _run_of(change))
        self._crash_points.crash_if_requested("after completion")
        return after


class CrashingObjects(Wrapper):
    """Crash points in the middle of a worker's transfers."""

    async def download(self, key: str, path: Path) -> Any:
        """Download a source; the folder two levels above names its run."""
        return await self._transfer(self._inner.download(key, path), "downloading", path.parent.parent.name)

    async def upload(self, path: Path, key: str, **how: Any) -> Any:
        """Upload an output."""
        return await self._transfer(self._inner.upload(path, key, **how), "uploading", path.parent.parent.name)

    async def _transfer(self, transfer: Coroutine[Any, Any, Any], point: str, run: str) -> Any:
        running = asyncio.ensure_future(transfer)
        try:
            await asyncio.wait({running}, timeout=UNDER_WAY_S)
            self._crash_points.crash_if_requested(point, run)
            return await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running})


class CrashingBus(Wrapper):
    """Crash points after a publish, a delivery and an acknowledgement."""

    async def publish(self, event: ConversionCreated) -> None:
        """Publish a message; the crash point is after the broker's confirmation."""
        await self._inner.publish(event)
        self._crash_points.crash_if_requested("after publish")

    @asynccontextmanager
    async def open_slot(self, *given: Any, **more: Any) -> AsyncIterator["CrashingConsumer"]:
        """Open a slot's consumer."""
        async with self._inner.open_slot(*given, **more) as source:
            yield CrashingConsumer(source, self._crash_points)


class CrashingConsumer(Wrapper):
    """Crash point after a delivery."""

    async def next(self) -> "CrashingDelivery":
        """Return the next message."""
        delivery = await self._inner.next()
        self._crash_points.crash_if_requested("received")
        return CrashingDelivery(delivery, self._crash_points)


class CrashingDelivery(Wrapper):
    """Crash point after an acknowledgement."""

    async def accept(self) -> None:
        """Acknowledge; at the crash point the claim is stored and the message gone, but no work has started."""
        await self._inner.accept()
        self._crash_points.crash_if_requested("acknowledged", f"{self.event.id}-{self.event.token + 1}")


def _run_of(change: Change) -> str:
    return f"{change.id}-{change.where['token']}"
