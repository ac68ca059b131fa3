"""The lease on one claimed conversion: beats while the work runs, writes progress, and ends work that must stop.

Time is measured on the worker's own monotonic clock only.
"""

import asyncio
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, TypeVar

import structlog

from converto_core.conversion.processing import beat
from converto_core.conversion.record import Conversion
from converto_core.errors import StoreUnavailable
from converto_core.events import conversion_event
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore
from converto_infra.clock import Clock, jittered_s
from converto_infra.concurrency import side_by_side
from converto_infra.settings import Settings

WRITE_GAP_S = 1.0  # at most one progress write per second, however often a program reports

Answer = TypeVar("Answer")
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Ending(StrEnum):
    """Why a lease ended before its work did."""

    FENCED = "fenced"
    CANCEL_REQUESTED = "cancel_requested"
    OUT_OF_TOUCH = "out_of_touch"
    STOPPING = "stopping"


class LeaseEnded(Exception):
    """Raised by `Lease.hold` after the work was cancelled and has cleaned up."""

    def __init__(self, ending: Ending) -> None:
        """`ending` decides which update the record gets."""
        super().__init__(ending.value)
        self.ending = ending


class Lease:
    """This worker's right to work on one claimed conversion."""

    def __init__(
        self,
        claimed: Conversion,
        *,
        store: ConversionStore,
        bus: EventBus,
        settings: Settings,
        clock: Clock,
        hand_back: asyncio.Event,
    ) -> None:
        """`hand_back` is set when the worker has to end and cannot wait for the work."""
        self.record = claimed
        self._store = store
        self._bus = bus
        self._clock = clock
        self._hand_back = hand_back
        self._interval_s = settings.beat_interval_s
        self._fence_s = settings.lease_s - min(5.0, settings.lease_s / 4)
        self._confirmed_at = clock.monotonic()
        self._beat_due = self._confirmed_at + jittered_s(self._interval_s)
        self._percent = claimed.percent
        self._stage = claimed.stage
        self._progressed = asyncio.Event()

    def report(self, percent: float | None, stage: str) -> None:
        """Record progress for the next beat; percent never goes backwards."""
        if percent is not None:
            self._percent = max(self._percent, min(percent, 100.0))
        self._stage = stage
        self._progressed.set()

    async def hold(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run `work` while beating; raise `LeaseEnded`, or what the work raises."""
        # Work that is cancelled because the lease ended may raise while it cleans up; the lease is the reason.
        async with side_by_side(first=LeaseEnded) as tasks:
            watchers = (tasks.create_task(self._beat_until_ended()), tasks.create_task(self._watch_for_stop()))
            answer = await work
            for watcher in watchers:
                watcher.cancel()
        return answer

    async def _watch_for_stop(self) -> None:
        await self._hand_back.wait()
        raise LeaseEnded(Ending.STOPPING)

    async def _beat_until_ended(self) -> None:
        gap_s = min(WRITE_GAP_S, self._interval_s)
        while True:
            await self._clock.sleep(gap_s)
            await self._clock.wait(self._progressed, self._beat_due - self._clock.monotonic())
            await self._beat()

    async def _beat(self) -> None:
        self._progressed.clear()
        sent_at = self._clock.monotonic()
        try:
            confirmed = await self._confirm(sent_at)
        except StoreUnavailable:
            self._check_silence()
            return
        if confirmed is None:
            raise LeaseEnded(Ending.FENCED)
        # Counted from before the request was sent: the database cannot have applied the beat any earlier.
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

    def _check_silence(self) -> None:
        silent_s = self._clock.monotonic() - self._confirmed_at
        log.warning("lease.beat_unconfirmed", conversion_id=self.record.id, silent_s=round(silent_s, 1))
        if silent_s >= self._fence_s:
            raise LeaseEnded(Ending.OUT_OF_TOUCH)
        self._progressed.set()  # beat again after the shortest gap instead of a whole interval
