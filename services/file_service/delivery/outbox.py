"""Sends every message that is due: new ones whose publish failed, retries, and those that no worker claimed.

`publish_due` in the conversion's record says when its message is due.
"""

from collections.abc import Callable, Sequence

import msgspec
import structlog

from converto_core.conversion.record import Conversion
from converto_core.conversion.transitions import schedule_publish
from converto_core.errors import BusUnavailable
from converto_core.events import conversion_created
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore
from file_service.delivery.sender import MAX_DOUBLINGS, Sender
from file_service.housekeeping.backoff import Backoff
from file_service.housekeeping.failures import Failures

BATCH = 200
MOST_PASSED_OVER = 2000
"""How many messages that have to wait are read past, so that they do not hide those behind them."""
BROKEN_FIRST_S = 5.0
REFUSED_FIRST_S, REFUSED_LONGEST_S = 1.0, 60.0
"""A refusal may be the tail of an outage, or it may last for days."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Refusal(msgspec.Struct, frozen=True):
    """A message that a healthy broker refused: how often in a row, and when to try again (monotonic seconds)."""

    times: int
    not_before_s: float


class Outbox:
    """Sends due messages; backs off for single messages that the broker refuses, and for records that meet a bug."""

    def __init__(
        self,
        conversions: ConversionStore,
        bus: EventBus,
        sender: Sender,
        *,
        monotonic: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._conversions = conversions
        self._bus = bus
        self._sender = sender
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._refused: dict[str, Refusal] = {}
        self._broken = Backoff(now_ms, first_s=BROKEN_FIRST_S)

    async def sweep(self) -> int:
        """Send what is due, oldest first, and return how many; raises `BusUnavailable` when the broker is away."""
        sent, failures = 0, Failures(self._broken)
        while True:
            limit = BATCH + min(len(self._refused) + self._broken.waiting, MOST_PASSED_OVER)
            due = await self._conversions.due(now_ms=self._now_ms(), limit=limit)
            sent_now = await self._send_each(due, failures)
            sent += sent_now
            if len(due) < limit:
                due_ids = {conversion.id for conversion in due}
                self._refused = {key: refusal for key, refusal in self._refused.items() if key in due_ids}
            if len(due) < limit or not sent_now:
                failures.finish("outbox")
                return sent

    async def send_all(self, due: Sequence[Conversion]) -> int:
        """Send these messages except those that were refused a moment ago; return how many, and raise like `sweep`."""
        failures = Failures(self._broken)
        sent = await self._send_each(due, failures)
        failures.finish("outbox")
        return sent

    async def _send_each(self, due: Sequence[Conversion], failures: Failures) -> int:
        sent = 0
        for conversion in due:
            if self._is_refused(conversion) or not self._broken.is_due(conversion.id):
                continue
            async with failures.of(conversion.id):
                sent += await self._send(conversion)
        return sent

    async def _send(self, conversion: Conversion) -> bool:
        if conversion.wait_ms and not conversion.cancel_requested:
            change = schedule_publish(conversion, due_ms=self._now_ms() + conversion.wait_ms)
            return await self._conversions.apply(change) is not None
        try:
            is_sent = await self._sender.send(conversion)
        except BusUnavailable as error:
            await self._bus.ping()  # raises when the broker is away, which ends the whole sweep
            self._back_off(conversion, error)
            return False
        self._refused.pop(conversion.id, None)
        return is_sent

    def _back_off(self, conversion: Conversion, error: BusUnavailable) -> None:
        """Delay only this message: the broker is up but does not accept it, and others must not wait for it.

        The pauses grow, except while its queue is left out: asking again then costs nothing.
        """
        known = self._refused.get(conversion.id)
        times = known.times + 1 if known else 1
        wait_s = min(REFUSED_FIRST_S * 2.0 ** min(times - 1, MAX_DOUBLINGS), REFUSED_LONGEST_S)
        if error.has_answered:
            wait_s = min(wait_s, error.retry_after_s)
        self._refused[conversion.id] = Refusal(times, self._monotonic() + wait_s)
        log.warning(
            "wakeup.refused",
            conversion_id=conversion.id,
            key=conversion_created(conversion).routing_key,
            times=times,
            reason=error.detail,
        )

    def _is_refused(self, conversion: Conversion) -> bool:
        refusal = self._refused.get(conversion.id)
        return refusal is not None and refusal.not_before_s > self._monotonic()
