"""Returns the conversions of vanished workers to the queue, without comparing the clocks of two machines.

A live worker increments `beat`. A reaper that sees the same token and beat for one lease on its own monotonic clock may
reap the conversion, by an update conditional on this token and beat. Any number of reapers may run. Time in which the
reaper could not read does not count, because workers could not write their beats either.
"""

from collections.abc import Callable, Sequence

import msgspec
import structlog

from converto_core.conversion.change import Change
from converto_core.conversion.processing import cancel_running, fail, worker_lost
from converto_core.conversion.record import Conversion
from converto_core.ports.stores import ConversionStore
from converto_infra.metrics import REAPED
from file_service.delivery.sender import Sender
from file_service.housekeeping.backoff import Backoff
from file_service.housekeeping.failures import Failures

BATCH = 10_000
LOST_CODE = "worker_lost"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Sighting(msgspec.Struct, frozen=True):
    """Token and beat of a conversion, and when this reaper first saw them (monotonic seconds).

    Each outage moves `first_seen_s` on by the time in which the reaper could not read.
    """

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
        blind_after_s: float,
        monotonic: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        """A conversion fails when `max_lost` workers have vanished while they ran it.

        A longer time than `blind_after_s` between two reads is taken for an outage.
        """
        self._conversions = conversions
        self._sender = sender
        self._lease_s = lease_s
        self._max_lost = max_lost
        self._sweep_interval_s = sweep_interval_s
        self._blind_after_s = blind_after_s
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._sightings: dict[str, Sighting] = {}
        self._checked_at = monotonic()
        self._broken = Backoff(now_ms, first_s=sweep_interval_s)

    async def sweep(self) -> int:
        """Check all running conversions, reap the silent ones and publish their messages; return how many."""
        running = await self._conversions.processing(limit=BATCH)
        now = self._monotonic()
        blind_s = self._blind_s(now)
        self._checked_at = now
        self._sightings = {one.id: self._sighting(one, now, blind_s) for one in running}
        silent = [one for one in running if self._ends_at(one.id) <= now and self._broken.is_due(one.id)]
        failures = Failures(self._broken)
        reaped = await self._reap_all(silent, failures)
        await self._publish(reaped, failures)
        failures.finish("reaper")
        return len(reaped)

    def next_in_s(self) -> float | None:
        """Seconds until the next lease may end, None when none can; a lease that has ended waits for the next sweep."""
        now = self._monotonic()
        return min((ends - now for ends in map(self._ends_at, self._sightings) if ends > now), default=None)

    def _blind_s(self, now: float) -> float:
        """The part of the time since the last read in which no beat could be expected.

        It is the whole time but one sweep interval, so that many outages in a row delay reaping but cannot prevent it.
        """
        gap_s = now - self._checked_at
        return gap_s - self._sweep_interval_s if gap_s > self._blind_after_s else 0.0

    def _sighting(self, conversion: Conversion, now: float, blind_s: float) -> Sighting:
        known = self._sightings.get(conversion.id)
        if known is None or (known.token, known.beat) != (conversion.token, conversion.beat):
            return Sighting(conversion.token, conversion.beat, now)
        return msgspec.structs.replace(known, first_seen_s=known.first_seen_s + blind_s)

    def _ends_at(self, conversion_id: str) -> float:
        return self._sightings[conversion_id].first_seen_s + self._lease_s

    async def _reap_all(self, silent: Sequence[Conversion], failures: Failures) -> list[Conversion]:
        reaped = list[Conversion]()
        for conversion in silent:
            async with failures.of(conversion.id):
                if (after := await self._reap(conversion)) is not None:
                    reaped.append(after)
        return reaped

    async def _reap(self, conversion: Conversion) -> Conversion | None:
        after = await self._sender.apply(self._change(conversion))
        if after is None:
            return None  # a late heartbeat, the end of the job, or another reaper was faster
        log.warning("conversion.reaped", conversion_id=after.id, worker=conversion.worker, status=after.status.value)
        REAPED.labels(after.status.value).inc()
        return after

    async def _publish(self, reaped: Sequence[Conversion], failures: Failures) -> None:
        """Publish at once what runs again. The first failure leaves the rest to the outbox: reaping must go on."""
        for conversion in reaped:
            is_sent = True
            async with failures.of(conversion.id):
                is_sent = await self._sender.send_or_postpone(conversion)
            if not is_sent:
                return

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
