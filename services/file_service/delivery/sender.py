"""Applies changes with their live event, and publishes the broker message of a pending conversion.

It also tells the waiters of a conversion that has ended: a worker tells those of its own conversions only.
"""

from collections.abc import Callable

import structlog

from converto_core import ids
from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion
from converto_core.conversion.transitions import cancel_waiting, published
from converto_core.errors import BusUnavailable, StoreUnavailable
from converto_core.events import conversion_created, conversion_event
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore
from converto_infra.waiter_release import WaiterRelease

MAX_DOUBLINGS = 32

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Sender:
    """Publishes events and messages for requests (through `Dispatch`), the outbox, the reaper and other sweeps."""

    def __init__(
        self,
        conversions: ConversionStore,
        bus: EventBus,
        *,
        republish_after_s: float,
        republish_max_s: float,
        now_ms: Callable[[], int] = ids.now_ms,
    ) -> None:
        """An unclaimed message is due again after `republish_after_s`, doubled each time up to `republish_max_s`."""
        self._conversions = conversions
        self._bus = bus
        self._republish_after_s, self._republish_max_s = republish_after_s, republish_max_s
        self._now_ms = now_ms
        self._waiters = WaiterRelease(conversions, bus, now_ms=now_ms)

    async def apply(self, change: Change) -> Conversion | None:
        """Apply a change and announce it; returns None when a condition of the change did not hold."""
        after = await self._conversions.apply(change)
        if after is not None:
            await self.announce(after)
        return after

    async def announce(self, conversion: Conversion) -> None:
        """Publish the conversion's current state as a live event and, if it has ended, tell its waiters.

        A lost event costs live clients a short delay; waiters that cannot be told look again at their own time.
        """
        await self._bus.publish_event(conversion_event(conversion))
        await self._waiters.release_all(conversion)

    async def send(self, conversion: Conversion) -> bool:
        """Publish the message and record the confirmation; returns False when there was nothing left to send.

        A cancel request that arrived while the worker gave up is completed instead: no worker claims such a conversion.
        Raises `BusUnavailable` and `StoreUnavailable`.
        """
        if conversion.cancel_requested:
            cancel = cancel_waiting(conversion.id, owner=conversion.owner, now_ms=self._now_ms())
            return await self.apply(cancel) is not None
        await self._bus.publish(conversion_created(conversion))
        next_due_ms = self._now_ms() + self.republish_after_ms(conversion.published)
        await self._conversions.apply(published(conversion, next_due_ms=next_due_ms))
        return True

    async def send_or_postpone(self, conversion: Conversion) -> bool:
        """Publish the message if one is due; returns False when that has to be left to the outbox."""
        if conversion.publish_due is None or conversion.family is None:
            return True
        try:
            await self.send(conversion)
        except (BusUnavailable, StoreUnavailable) as error:
            log.warning("wakeup.postponed", conversion_id=conversion.id, code=error.stable_code, detail=error.detail)
            return False
        return True

    def republish_after_ms(self, published: int) -> int:
        """Return how long a conversion with so many confirmed messages waits for a claim until it gets another."""
        doublings = min(published, MAX_DOUBLINGS)
        return int(1000 * min(self._republish_after_s * 2.0**doublings, self._republish_max_s))
