"""Returns the conversions of vanished workers to the queue, without comparing the clocks of two machines.

A live worker increments `beat`. A reaper that sees the same token and beat for one lease on its own monotonic clock may
reap the conversion, by an update conditional on this token and beat. Any number of reapers may run.
"""

from collections.abc import Callable

import msgspec
import structlog

from converto_core.conversion.change import Change
from converto_core.conversion.processing import cancel_running, fail, worker_lost
from converto_core.conversion.record import Conversion
from converto_core.ports.stores import ConversionStore
from converto_infra.metrics import REAPED
from file_service.delivery.sender import Sender

BATCH = 10_000
LOST_CODE = "worker_lost"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Sighting(msgspec.Struct, frozen=True):
    """Token and beat of a conversion, and when this reaper first saw them (monotonic seconds)."""

    token: int
    beat: int
    first_seen_s: float


class Reaper:
    """Watches all running conversions and reaps those without a heartbeat."""

    def __init__(
        self,
        conversions: ConversionStore,
        sender: Sender,
        *,
        lease_s: float,
        max_lost: int,
        sweep_interval_s: float,
        monotonic: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        """A conversion fails when `max_lost` workers have vanished while they ran it."""
        self._conversions = conversions
        self._sender = sender
        self._lease_s = lease_s
        self._max_lost = max_lost
        self._blind_after_s = max(lease_s / 2, 3 * sweep_interval_s)
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._sightings: dict[str, Sighting] = {}
        self._checked_at = monotonic()

    async def sweep(self) -> int:
        """Check all running conversions and return how many were reaped."""
        running = await self._conversions.processing(limit=BATCH)
        now = self._monotonic()
        if now - self._checked_at > self._blind_after_s:
            # The database was away for us and so for the workers, too: a missing heartbeat proves nothing.
            self._sightings.clear()
        self._checked_at = now
        self._sightings = {one.id: self._sighting(one, now) for one in running}
        silent = [one for one in running if now - self._sightings[one.id].first_seen_s >= self._lease_s]
        return sum([await self._reap(one) for one in silent])

    def _sighting(self, conversion: Conversion, now: float) -> Sighting:
        known = self._sightings.get(conversion.id)
        if known is not None and (known.token, known.beat) == (conversion.token, conversion.beat):
            return known
        return Sighting(conversion.token, conversion.beat, now)

    async def _reap(self, conversion: Conversion) -> bool:
        after = await self._sender.apply(self._change(conversion))
        if after is None:
            return False  # a late heartbeat, the end of the job, or another reaper was faster
        log.warning("conversion.reaped", conversion_id=after.id, worker=conversion.worker, status=after.status.value)
        REAPED.labels(after.status.value).inc()
        return True

    def _change(self, conversion: Conversion) -> Change:
        now_ms = self._now_ms()
        if conversion.cancel_requested:
            return cancel_running(conversion, now_ms=now_ms, beat_seen=conversion.beat)
        losses = conversion.lost + 1
        if losses < self._max_lost:
            return worker_lost(conversion, now_ms=now_ms)
        message = (
            f"The conversion failed because its worker vanished {losses} times. The file probably needs more memory "
            "than a worker has; try a smaller file"
        )
        return fail(conversion, code=LOST_CODE, message=message, now_ms=now_ms, beat_seen=conversion.beat)
