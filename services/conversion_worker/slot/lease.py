"""The lease on one claimed conversion: it beats while the work runs, carries progress, and tells why work must stop.

It knows nothing of files or programs. Time is measured on the worker's own monotonic clock only.
"""

import asyncio
import itertools
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

from conversion_worker.clock import Clock, jittered_s
from conversion_worker.concurrency import decisive_error
from converto_core.conversion.processing import beat
from converto_core.conversion.record import Conversion
from converto_core.errors import StoreUnavailable
from converto_core.events import conversion_event
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore

WRITE_GAP_S = 1.0  # at most one progress write per second, so that a chatty program costs the database nothing

Answer = TypeVar("Answer")
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Ending(StrEnum):
    """Why the work had to stop before its end."""

    FENCED = "fenced"
    CANCEL_REQUESTED = "cancel_requested"
    OUT_OF_TOUCH = "out_of_touch"
    STOPPING = "stopping"


class LeaseEnded(Exception):
    """Raised by `Lease.hold` after the work was cancelled and has cleaned up."""

    def __init__(self, ending: Ending) -> None:
        """`ending` tells what to do with the record."""
        super().__init__(ending.value)
        self.ending = ending


class LeaseSettings(Protocol):
    """The two settings of a lease, both in seconds."""

    @property
    def beat_interval_s(self) -> float:
        """Longest time between two beats."""

    @property
    def lease_s(self) -> float:
        """A reaper that sees no beat for this long gives the conversion to somebody else."""


class Lease:
    """One claimed conversion, as long as this worker may touch it."""

    def __init__(
        self,
        claimed: Conversion,
        *,
        store: ConversionStore,
        bus: EventBus,
        settings: LeaseSettings,
        clock: Clock,
        give_back: asyncio.Event,
    ) -> None:
        """`give_back` is set when the worker has to go and cannot wait for the end of the work."""
        self.record = claimed
        self._store = store
        self._bus = bus
        self._clock = clock
        self._give_back = give_back
        self._interval_s = settings.beat_interval_s
        self._fence_s = settings.lease_s - min(5.0, settings.lease_s / 4)
        self._confirmed_at = clock.monotonic()
        self._beat_due = self._confirmed_at + jittered_s(self._interval_s)
        self._percent = claimed.percent
        self._stage = claimed.stage
        self._news = asyncio.Event()

    def report(self, percent: float | None, stage: str) -> None:
        """Note how far the work is; it is written at the next occasion, never backwards."""
        if percent is not None:
            self._percent = max(self._percent, min(percent, 100.0))
        self._stage = stage
        self._news.set()

    async def hold(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Do the work while beating; raises `LeaseEnded`, or what the work raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                keepers = (tasks.create_task(self._keep()), tasks.create_task(self._watch_for_stop()))
                answer = await work
                for keeper in keepers:
                    keeper.cancel()
        except BaseExceptionGroup as group:
            # Work that is cancelled because the lease ended may raise on its way out; the lease is the reason.
            raise decisive_error(group, first=LeaseEnded) from None
        return answer

    async def _watch_for_stop(self) -> None:
        await self._give_back.wait()
        raise LeaseEnded(Ending.STOPPING)

    async def _keep(self) -> None:
        gap_s = min(WRITE_GAP_S, self._interval_s)
        while True:
            await self._clock.sleep(gap_s)
            await self._clock.wait(self._news, self._beat_due - self._clock.monotonic())
            await self._beat()

    async def _beat(self) -> None:
        self._news.clear()
        sent_at = self._clock.monotonic()
        try:
            confirmed = await self._confirm(sent_at)
        except StoreUnavailable:
            self._after_silence()
            return
        if confirmed is None:
            raise LeaseEnded(Ending.FENCED)
        # Counted from before it was sent: the database may have seen it at any moment since, and never later.
        self._confirmed_at = sent_at
        self._beat_due = sent_at + jittered_s(self._interval_s)
        self.record = confirmed
        await self._bus.publish_event(conversion_event(confirmed))
        if confirmed.cancel_requested:
            raise LeaseEnded(Ending.CANCEL_REQUESTED)

    async def _confirm(self, sent_at: float) -> Conversion | None:
        change = beat(
            self.record.id,
            token=self.record.token,
            now_ms=self._clock.now_ms(),
            percent=self._percent,
            stage=self._stage,
        )
        try:
            async with asyncio.timeout(max(self._confirmed_at + self._fence_s - sent_at, 0)):
                return await self._store.apply(change)
        except TimeoutError as error:
            raise LeaseEnded(Ending.OUT_OF_TOUCH) from error

    def _after_silence(self) -> None:
        silent_s = self._clock.monotonic() - self._confirmed_at
        log.warning("lease.beat_unconfirmed", conversion_id=self.record.id, silent_s=round(silent_s, 1))
        if silent_s >= self._fence_s:
            raise LeaseEnded(Ending.OUT_OF_TOUCH)
        self._news.set()  # try again after the shortest gap instead of a whole interval


class Span(msgspec.Struct, frozen=True):
    """A part of the whole, in percent of the whole: what a step reports as 0 to 100 lands between both ends."""

    start: float
    end: float

    def at(self, percent: float | None) -> float | None:
        """Percent of the whole for percent of this part; None stays None."""
        return None if percent is None else self.start + (self.end - self.start) * min(max(percent, 0), 100) / 100


def spans(weights: list[float], *, start: float, end: float) -> list[Span]:
    """Share out the way from start to end by weight, in order."""
    total = sum(weights) or 1.0
    edges = [start + (end - start) * sum(weights[:number]) / total for number in range(len(weights) + 1)]
    return [Span(low, high) for low, high in itertools.pairwise(edges)]
