"""Applies changes made by requests and publishes what follows from them in the background.

Nothing is lost if that fails: `publish_due` is already in the record, so the outbox sends the message later.
"""

import asyncio

import structlog

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion
from converto_core.ports.stores import ConversionStore
from file_service.delivery.sender import Sender

MAX_IN_FLIGHT = 1000
"""With more unfinished publishes than this the broker is in trouble; the outbox then sends the rest in batches."""

log = structlog.get_logger()


class Dispatch:
    """Owns the background publishes; they start only while `run` is running."""

    def __init__(self, conversions: ConversionStore, sender: Sender) -> None:
        self._conversions = conversions
        self._sender = sender
        self._group: asyncio.TaskGroup | None = None
        self._in_flight = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Accept publishes until `stopping` is set, then finish those in flight (each call has its own deadline)."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await stopping.wait()
            self._group = None

    async def apply(self, change: Change) -> Conversion | None:
        """Apply a change and publish its event; returns None when a condition of the change did not hold."""
        after = await self._conversions.apply(change)
        if after is not None:
            self.publish(after)
            log.info("conversion.changed", conversion_id=after.id, status=after.status, file_id=after.file_id)
        return after

    def publish(self, conversion: Conversion) -> None:
        """Start publishing the conversion's event, and its message when one is due."""
        if self._group is not None and self._in_flight < MAX_IN_FLIGHT:
            self._in_flight += 1
            self._group.create_task(self._publish(conversion))

    async def _publish(self, conversion: Conversion) -> None:
        try:
            await self._sender.announce(conversion)
            await self._sender.send_or_postpone(conversion)
        finally:
            self._in_flight -= 1
