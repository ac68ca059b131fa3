"""Moves dead letters from the broker's queue into records, and deletes records past their retention time.

A queue cannot be listed without disturbing it; records can be listed and explained.
"""

from collections.abc import Callable

import structlog

from converto_core.dead_letters import DeadLetteredMessage, conversion_id_in, dead_letter_record
from converto_core.errors import DuplicateKey
from converto_core.ports.bus import EventBus
from converto_core.ports.dead_letters import DeadLetterStore
from converto_core.ports.stores import ConversionStore

BATCH = 200

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class DeadLetterCollector:
    """Collects dead letters and deletes old records; any number of collectors may run at the same time."""

    def __init__(
        self,
        store: DeadLetterStore,
        conversions: ConversionStore,
        bus: EventBus,
        *,
        retention_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        """`retention_s` counts from the time a dead letter was stored."""
        self._store = store
        self._conversions = conversions
        self._bus = bus
        self._retention_ms = int(retention_s * 1000)
        self._now_ms = now_ms

    async def sweep(self) -> int:
        """Delete old records, then collect new dead letters; returns how many records were deleted or stored.

        The database comes first: a message that is taken and cannot be stored goes back to the queue, and RabbitMQ 4.0
        and later drop a message that was returned 20 times.
        """
        return await self._delete_old() + await self._collect()

    async def _delete_old(self) -> int:
        before_ms = self._now_ms() - self._retention_ms
        old = await self._store.stored_before(before_ms, limit=BATCH)
        return sum([await self._store.delete(message.id) for message in old])

    async def _collect(self) -> int:
        collected = 0
        async with self._bus.dead_letters() as letters:
            while collected < BATCH and (delivery := await letters.take()) is not None:
                await self._insert(delivery.letter)
                await delivery.accept()  # last: if the process dies before this, the letter is delivered again
                collected += 1
        return collected

    async def _insert(self, letter: DeadLetteredMessage) -> None:
        conversion_id = conversion_id_in(letter)
        conversion = None if conversion_id is None else await self._conversions.get(conversion_id)
        message = dead_letter_record(letter, conversion, now_ms=self._now_ms())
        try:
            await self._store.insert(message)
        except DuplicateKey:
            return  # stored by a process that died or lost its connection before it could acknowledge
        log.warning(
            "message.parked",
            message_id=message.id,
            conversion_id=message.conversion_id,
            reason=message.reason,
            explanation=message.explanation,
        )
