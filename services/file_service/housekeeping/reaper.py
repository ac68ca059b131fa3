"""Gives back what vanished workers held, without comparing any two clocks. It knows no broker queue and no HTTP.

A worker raises `beat` while it lives. Whoever sees the same token and beat for one lease on its own monotonic clock may
take the conversion away, by an update that holds only for this token and this beat. Any number of reapers may run.
"""

from collections.abc import Callable

import msgspec
import structlog

from converto_core.conversion.change import Change
from converto_core.conversion.processing import cancel_running, fail, worker_lost
from converto_core.conversion.record import Conversion
from converto_core.events import conversion_event
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore
from converto_infra.metrics import REAPED

BATCH = 10_000
LOST_CODE = "worker_lost"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Sighting(msgspec.Struct, frozen=True):
    """A beat of a lease, and when this reaper saw it first (seconds, monotonic)."""

    token: int
    beat: int
    first_seen_s: float


class Reaper:
    """Watches everything that is being processed."""

    def __init__(
        self,
        conversions: ConversionStore,
        bus: EventBus,
        *,
        lease_s: float,
        max_lost: int,
        sweep_interval_s: float,
        monotonic: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        """`max_lost` workers may vanish over one conversion; then it ends as failed."""
        self._conversions = conversions
        self._bus = bus
        self._lease_s = lease_s
        self._max_lost = max_lost
        self._blind_after_s = max(lease_s / 2, 3 * sweep_interval_s)
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._sightings: dict[str, Sighting] = {}
        self._looked_at = monotonic()

    async def sweep(self) -> int:
        """Look once; how many conversions were taken from vanished workers."""
        running = await self._conversions.processing(limit=BATCH)
        now = self._monotonic()
        if now - self._looked_at > self._blind_after_s:
            # The database was away for us, so it was away for the workers: their silence proves nothing.
            self._sightings.clear()
        self._looked_at = now
        self._sightings = {one.id: self._sighting(one, now) for one in running}
        silent = [one for one in running if now - self._sightings[one.id].first_seen_s >= self._lease_s]
        return sum([await self._reap(one) for one in silent])

    def _sighting(self, conversion: Conversion, now: float) -> Sighting:
        known = self._sightings.get(conversion.id)
        if known is not None and (known.token, known.beat) == (conversion.token, conversion.beat):
            return known
        return Sighting(conversion.token, conversion.beat, now)

    async def _reap(self, conversion: Conversion) -> bool:
        after = await self._conversions.apply(self._verdict(conversion))
        if after is None:
            return False  # it beat in the last moment, ended, or another reaper was quicker
        log.warning("conversion.reaped", conversion_id=after.id, worker=conversion.worker, status=after.status.value)
        REAPED.labels(after.status.value).inc()
        await self._bus.publish_event(conversion_event(after))
        return True

    def _verdict(self, conversion: Conversion) -> Change:
        now_ms = self._now_ms()
        if conversion.cancel_requested:
            return cancel_running(conversion, now_ms=now_ms, beat_seen=conversion.beat)
        losses = conversion.lost + 1
        if losses < self._max_lost:
            return worker_lost(conversion, now_ms=now_ms)
        message = (
            f"The worker vanished {losses} times while it converted this file, so it was given up. "
            "The file probably needs more memory than a worker has"
        )
        return fail(conversion, code=LOST_CODE, message=message, now_ms=now_ms, beat_seen=conversion.beat)
