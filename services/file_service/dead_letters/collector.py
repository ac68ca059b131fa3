"""Takes dead letters off the broker and keeps them as records, and forgets old ones. It settles none of them.

A queue cannot be listed without disturbing it, so what was set aside is moved to where it can be read and explained.
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
    """The parked queue on one side, the records on the other; any number of these may run."""

    def __init__(
        self,
        parked_store: DeadLetterStore,
        conversions: ConversionStore,
        bus: EventBus,
        *,
        retention_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        """`retention_s` counts from when a message was stored."""
        self._parked = parked_store
        self._conversions = conversions
        self._bus = bus
        self._retention_ms = int(retention_s * 1000)
        self._now_ms = now_ms

    async def sweep(self) -> int:
        """Forget what is past its time, then store what is new; how many records came or went.

        The database is asked first: a message that is taken and cannot be stored goes back, and a broker drops what
        went back too often (RabbitMQ 4.0 and later after 20 times).
        """
        return await self._forget() + await self._take()

    async def _forget(self) -> int:
        before_ms = self._now_ms() - self._retention_ms
        old = await self._parked.stored_before(before_ms, limit=BATCH)
        return sum([await self._parked.delete(message.id) for message in old])

    async def _take(self) -> int:
        taken = 0
        async with self._bus.dead_letters() as letters:
            while taken < BATCH and (delivery := await letters.take()) is not None:
                await self._store(delivery.letter)
                await delivery.accept()  # last: a process that dies before this gets the same letter again
                taken += 1
        return taken

    async def _store(self, letter: DeadLetteredMessage) -> None:
        conversion_id = conversion_id_in(letter)
        conversion = None if conversion_id is None else await self._conversions.get(conversion_id)
        message = dead_letter_record(letter, conversion, now_ms=self._now_ms())
        try:
            await self._parked.insert(message)
        except DuplicateKey:
            return  # stored by a process that died, or lost its connection, before it could acknowledge
        log.warning(
            "message.parked",
            message_id=message.id,
            conversion_id=message.conversion_id,
            reason=message.reason,
            explanation=message.explanation,
        )
