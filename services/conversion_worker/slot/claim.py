"""Claims the conversion that a message names and settles the message, exactly once.

A message is acknowledged as soon as the claim is in the database: from then on the lease and the reaper answer for the
conversion, however long it runs and whatever happens to the broker.
"""

import structlog

from conversion_worker.slot.context import WorkerContext
from converto_core.conversion.processing import beat, claim
from converto_core.conversion.record import Conversion, Status
from converto_core.errors import DependencyUnavailable, StoreUnavailable
from converto_core.events import ConversionCreated
from converto_core.ports.bus import Delivery
from converto_infra.retry import Retry

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 2.0  # a database that is back is noticed within seconds

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def claim_message(message: Delivery, context: WorkerContext) -> Conversion | None:
    """Return the claimed conversion, None when there is nothing to claim."""
    event = message.event
    try:
        claimed = await _claim(event, context)
    except StoreUnavailable as error:
        # Released once and then waited for: releasing in a loop would use up the queue's delivery limit.
        await message.release()
        return await _claim_later(event, context, error)
    await message.accept()  # claimed, or not claimable: in both cases the database knows what is due
    if claimed is None:
        log.info("wakeup.stale", conversion_id=event.id, token=event.token)
    return claimed


async def _claim(event: ConversionCreated, context: WorkerContext) -> Conversion | None:
    change = claim(event.id, token=event.token, worker=context.worker_id, now_ms=context.clock.now_ms())
    return await context.conversions.apply(change)


async def _claim_later(event: ConversionCreated, context: WorkerContext, failed: StoreUnavailable) -> Conversion | None:
    """Claim when the database answers again; the first claim may have been applied although its answer was lost.

    A worker that stops claims nothing new but looks once more: a conversion it holds must not be counted as lost.
    """
    stopping = context.stop.stopping

    async def attempt() -> Conversion | None:
        is_last = stopping.is_set()
        try:
            claimed = None if is_last else await _claim(event, context)
            return claimed or await _find_own_claim(event, context)
        except StoreUnavailable:
            if is_last:
                return None
            raise

    retry = Retry(
        first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S, clock=context.clock, stop=stopping, on_failure=_log_failure
    )
    return await retry(attempt, failed=failed)


async def _find_own_claim(event: ConversionCreated, context: WorkerContext) -> Conversion | None:
    record = await context.conversions.get(event.id)
    if record is None or record.status is not Status.PROCESSING:
        return None
    if record.worker != context.worker_id or record.token != event.token + 1:
        return None
    # Reapers count from the claim, which may be long ago: work may start only after a beat of now.
    return await context.conversions.apply(beat(record.id, token=record.token, now_ms=context.clock.now_ms()))


def _log_failure(_error: DependencyUnavailable, failures: int) -> None:
    log.warning("slot.database_away", failures=failures)
