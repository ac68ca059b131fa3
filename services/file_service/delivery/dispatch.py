"""Applies changes and sends what follows from them, without keeping the client waiting. It decides no status.

Nothing is lost here: `publish_due` is in the record already, so whatever does not leave now is sent by housekeeping.
"""

import asyncio

import structlog

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion
from converto_core.conversion.transitions import published
from converto_core.errors import BusUnavailable, StoreUnavailable
from converto_core.events import conversion_created, conversion_event
from converto_core.ids import now_ms
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore
from file_service.delivery.outbox import again_ms

MOST_UNDER_WAY = 1000
"""Above this many unfinished publishes the broker is in trouble, and housekeeping sends the rest in batches."""

log = structlog.get_logger()


class Dispatch:
    """Owns the tasks that publish; `run` has to be running for anything to leave at once."""

    def __init__(
        self, conversions: ConversionStore, bus: EventBus, *, republish_after_s: float, republish_max_s: float
    ) -> None:
        """A wake-up that nobody claimed is due again after the first time, doubled each time up to the second."""
        self._conversions = conversions
        self._bus = bus
        self._after_s, self._max_s = republish_after_s, republish_max_s
        self._group: asyncio.TaskGroup | None = None
        self._under_way = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Accept work until `stopping` is set, then finish what is under way (each call has its own deadline)."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await stopping.wait()
            self._group = None

    async def apply(self, change: Change) -> Conversion | None:
        """Apply a change and tell of it; the record after it, or None when a condition did not hold."""
        after = await self._conversions.apply(change)
        if after is not None:
            self.tell(after)
            log.info("conversion.changed", conversion_id=after.id, status=after.status, file_id=after.file_id)
        return after

    def tell(self, conversion: Conversion) -> None:
        """Announce the present state to live listeners, and wake a worker when there is work."""
        if self._group is not None and self._under_way < MOST_UNDER_WAY:
            self._under_way += 1
            self._group.create_task(self._send(conversion))

    async def _send(self, conversion: Conversion) -> None:
        try:
            await self._bus.publish_event(conversion_event(conversion))
            if conversion.publish_due is not None and conversion.family is not None:
                await self._wake(conversion)
        finally:
            self._under_way -= 1

    async def _wake(self, conversion: Conversion) -> None:
        try:
            await self._bus.publish(conversion_created(conversion))
            due_ms = now_ms() + again_ms(conversion, after_s=self._after_s, max_s=self._max_s)
            await self._conversions.apply(published(conversion, next_due_ms=due_ms))
        except (BusUnavailable, StoreUnavailable) as error:
            log.warning("wakeup.postponed", conversion_id=conversion.id, code=error.stable_code, detail=error.detail)
