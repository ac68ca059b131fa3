"""Moves dead letters from the broker's queue into records, and deletes records past their retention time.

A queue cannot be listed without disturbing it; records can be listed and explained.
"""

from collections.abc import Callable

import structlog

from converto_core.conversion.record import Conversion
from converto_core.dead_letters import DeadLetteredMessage, conversion_id_in, dead_letter_record
from converto_core.errors import DuplicateKey, RecordUnreadable
from converto_core.ports.bus import EventBus
from converto_core.ports.dead_letters import DeadLetterStore
from converto_core.ports.stores import ConversionStore
from file_service.housekeeping.backoff import Backoff
from file_service.housekeeping.failures import Failures

BATCH = 200
BROKEN_FIRST_S = 60.0

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
        self._broken = Backoff(now_ms, first_s=BROKEN_FIRST_S)

    async def sweep(self) -> int:
        """Delete old records, then collect new dead letters; returns how many records were deleted or stored.

        The database comes first: a message that is taken and cannot be stored goes back to the queue, and RabbitMQ 4.0
        and later drop a message that was returned 20 times.
        """
        failures = Failures(self._broken)
        done = await self._delete_old(failures) + await self._collect(failures)
        failures.finish("parking")
        return done

    async def _delete_old(self, failures: Failures) -> int:
        before_ms, deleted = self._now_ms() - self._retention_ms, 0
        for message in await self._store.stored_before(before_ms, limit=BATCH + self._broken.waiting):
            if self._broken.is_due(message.id):
                async with failures.of(message.id):
                    deleted += await self._store.delete(message.id)
        return deleted

    async def _collect(self, failures: Failures) -> int:
        """A letter that meets a bug is not accepted, so that the broker keeps it, behind those that came after it."""
        collected = taken = 0
        async with self._bus.dead_letters() as letters:
            while taken < BATCH and (delivery := await letters.take()) is not None:
                taken += 1
                async with failures.of(f"dead letter {taken} of this round"):
                    await self._insert(delivery.letter)
                    await delivery.accept()  # last: if the process dies before this, the letter is delivered again
                    collected += 1
        return collected

    async def _insert(self, letter: DeadLetteredMessage) -> None:
        message = dead_letter_record(letter, await self._conversion_of(letter), now_ms=self._now_ms())
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

    async def _conversion_of(self, letter: DeadLetteredMessage) -> Conversion | None:
        conversion_id = conversion_id_in(letter)
        if conversion_id is None:
            return None
        try:
            return await self._conversions.get(conversion_id)
        except RecordUnreadable:
            return None
