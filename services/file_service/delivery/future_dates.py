"""Sends messages whose date is further in the future than any wait: a clock that was ahead has written it.

Without this, an hour by which the clock of one process was wrong would be an hour in which its conversions are stuck.
"""

from collections.abc import Awaitable, Callable

import structlog

from converto_core.errors import ObjectStoreUnavailable
from converto_core.ports.stores import ConversionStore
from file_service.delivery.outbox import BATCH, Outbox
from file_service.delivery.sender import MAX_DOUBLINGS, Sender

LONGEST_WORKER_WAIT_MS = 60_000
"""No worker asks for a longer wait, for a leader or a slow program, except before the next attempt."""
MARGIN_MS = 60_000
"""Clocks that differ by less count as right."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class FutureDates:
    """Compares the date of each waiting message with the longest wait that it can have."""

    def __init__(
        self,
        conversions: ConversionStore,
        outbox: Outbox,
        sender: Sender,
        *,
        retry_max_s: float,
        latest_ms: Callable[[], Awaitable[int]],
    ) -> None:
        """`latest_ms` returns the latest time that any trusted clock shows; without it, nothing is judged."""
        self._conversions = conversions
        self._outbox = outbox
        self._latest_ms = latest_ms
        waits = (sender.republish_after_ms(number) for number in range(MAX_DOUBLINGS))
        self._waits_ms = [max(int(retry_max_s * 1000), LONGEST_WORKER_WAIT_MS)]
        """By the number of confirmed messages; the last is the longest of all."""
        for wait_ms in waits:
            self._waits_ms.append(max(wait_ms, LONGEST_WORKER_WAIT_MS))
            if wait_ms >= sender.republish_after_ms(MAX_DOUBLINGS):
                break

    def longest_wait_ms(self, published: int) -> int:
        """Return the longest wait of a conversion with so many confirmed messages."""
        return self._waits_ms[min(published, len(self._waits_ms) - 1)]

    async def sweep(self) -> int:
        """Send what is dated too late and return how many; the outbox dates it anew. Raises `BusUnavailable`."""
        try:
            now_ms = await self._latest_ms()
        except ObjectStoreUnavailable:
            return 0
        if not await self._conversions.due_after(now_ms + min(self._waits_ms) + MARGIN_MS, limit=1):
            return 0
        count = await self._send(now_ms + max(self._waits_ms) + MARGIN_MS, published=None)
        for published, wait_ms in enumerate(self._waits_ms):
            count += await self._send(now_ms + wait_ms + MARGIN_MS, published=published)
        if count:
            log.warning("messages.dated_in_the_future", count=count)
        return count

    async def _send(self, after_ms: int, *, published: int | None) -> int:
        count = 0
        while found := await self._conversions.due_after(after_ms, published=published, limit=BATCH):
            sent = await self._outbox.send_all(found)
            count += sent
            if len(found) < BATCH or not sent:
                break
        return count
