"""Sends every wake-up that is due: new ones whose publish did not get through, retries, and those that nobody claimed.

It changes no status; `publish_due` inside the record says what has to leave and when.
"""

from collections.abc import Callable

import msgspec
import structlog

from converto_core.conversion.record import Conversion
from converto_core.conversion.transitions import cancel_waiting, published, schedule_publish
from converto_core.errors import BusUnavailable
from converto_core.events import conversion_created, conversion_event
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore

BATCH = 200
MOST_DOUBLINGS = 32
REFUSED_FIRST_S, REFUSED_LONGEST_S = 1.0, 60.0  # a refusal may be the last breath of an outage, or last for days

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Refusal(msgspec.Struct, frozen=True):
    """A wake-up that the living broker did not take: how often in a row, and when it may be tried again (monotonic)."""

    times: int
    not_before_s: float


class Outbox:
    """Everything that waits to leave for the broker."""

    def __init__(
        self,
        conversions: ConversionStore,
        bus: EventBus,
        *,
        republish_after_s: float,
        republish_max_s: float,
        monotonic: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        """A wake-up that nobody claimed is due again after the first time, doubled each time up to the second."""
        self._conversions = conversions
        self._bus = bus
        self._after_s = republish_after_s
        self._max_s = republish_max_s
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._refused: dict[str, Refusal] = {}

    async def sweep(self) -> int:
        """Send what is due, longest due first; how many left. Raises `BusUnavailable` when the broker is away."""
        sent = 0
        while True:
            due = await self._conversions.due(now_ms=self._now_ms(), limit=BATCH)
            ready = [conversion for conversion in due if not self._is_postponed(conversion)]
            left = sum([await self._send(conversion) for conversion in ready])
            sent += left
            if len(due) < BATCH:
                waiting = {conversion.id for conversion in due}
                self._refused = {key: refusal for key, refusal in self._refused.items() if key in waiting}
            if len(due) < BATCH or not left:
                return sent

    async def _send(self, conversion: Conversion) -> bool:
        if conversion.cancel_requested:
            return await self._cancel(conversion)
        if conversion.wait_ms:
            change = schedule_publish(conversion, due_ms=self._now_ms() + conversion.wait_ms)
            return await self._conversions.apply(change) is not None
        try:
            await self._bus.publish(conversion_created(conversion))
        except BusUnavailable:
            await self._bus.ping()  # raises when the broker is away: then the whole sweep may end
            self._postpone(conversion)
            return False
        self._refused.pop(conversion.id, None)
        due_ms = self._now_ms() + again_ms(conversion, after_s=self._after_s, max_s=self._max_s)
        await self._conversions.apply(published(conversion, next_due_ms=due_ms))
        return True

    async def _cancel(self, conversion: Conversion) -> bool:
        """A cancel came while the worker gave up: no worker claims it any more, so it ends here."""
        change = cancel_waiting(conversion.id, owner=conversion.owner, now_ms=self._now_ms())
        after = await self._conversions.apply(change)
        if after is not None:
            await self._bus.publish_event(conversion_event(after))
        return after is not None

    def _postpone(self, conversion: Conversion) -> None:
        """The broker is there but does not take this one; it must not stand in the way of the others."""
        known = self._refused.get(conversion.id)
        times = known.times + 1 if known else 1
        wait_s = min(REFUSED_FIRST_S * 2.0 ** min(times - 1, MOST_DOUBLINGS), REFUSED_LONGEST_S)
        self._refused[conversion.id] = Refusal(times, self._monotonic() + wait_s)
        log.warning(
            "wakeup.refused", conversion_id=conversion.id, key=conversion_created(conversion).routing_key, times=times
        )

    def _is_postponed(self, conversion: Conversion) -> bool:
        refusal = self._refused.get(conversion.id)
        return refusal is not None and refusal.not_before_s > self._monotonic()


def again_ms(conversion: Conversion, *, after_s: float, max_s: float) -> int:
    """Milliseconds until a confirmed wake-up that nobody claims is due again: doubled each time up to the longest."""
    doublings = min(conversion.published, MOST_DOUBLINGS)
    return int(1000 * min(after_s * 2.0**doublings, max_s))
