"""Turns the end of a job into one conditional update of its record, and applies that update.

An update whose answer was lost is looked up, never guessed.
"""

import asyncio
import errno

import structlog

from conversion_worker.job.source import insufficient_storage
from conversion_worker.single_flight.single_flight import LeaderRunning
from conversion_worker.slot.lease import Ending, LeaseEnded
from converto_core.conversion.change import Change
from converto_core.conversion.processing import (
    cancel_running,
    fail,
    hand_back,
    retry_later,
    wait_for_engine,
    wait_for_leader,
)
from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import cancel_waiting
from converto_core.errors import (
    ConversionError,
    ConvertoError,
    DependencyUnavailable,
    EngineElsewhere,
    EngineError,
    EngineNotAnswering,
    ObjectStoreUnavailable,
    StoreUnavailable,
)
from converto_core.events import conversion_event
from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import ConversionStore
from converto_infra.clock import Clock
from converto_infra.metrics import ENDED
from converto_infra.retry import Retry, backoff_s
from converto_infra.settings import Settings

ATTEMPTS_WHEN_STOPPED = 3  # a worker without time left leaves the rest to the reaper
HAND_BACK_TIMEOUT_S = 3.0
FIRST_ENGINE_WAIT_MS, LONGEST_ENGINE_WAIT_MS = 2_000, 15_000
STAGE_ELSEWHERE = "waiting for a worker that has its conversion program"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def change_after_error(error: Exception, claimed: Conversion, *, settings: Settings, now_ms: int) -> Change | None:
    """Return the update that an error calls for, None when the conversion is no longer ours."""
    if isinstance(error, LeaseEnded):
        return _change_after_lease(error.ending, claimed, now_ms)
    if isinstance(error, LeaderRunning):
        return wait_for_leader(claimed, cache_key=error.key, wait_ms=error.wait_ms, now_ms=now_ms)
    if isinstance(error, EngineNotAnswering | EngineElsewhere):
        return _change_without_engine(error, claimed, now_ms)
    if isinstance(error, DependencyUnavailable):
        return hand_back(claimed, now_ms=now_ms)
    reason = _public_reason(error)
    code, message = reason.stable_code, reason.public_message
    if not reason.retryable or claimed.attempt >= settings.max_attempts:
        return fail(claimed, code=code, message=message, now_ms=now_ms, is_hopeless=not reason.retryable)
    wait_s = backoff_s(claimed.attempt, first_s=settings.retry_base_s, longest_s=settings.retry_max_s)
    return retry_later(claimed, code=code, message=message, wait_ms=int(wait_s * 1000), now_ms=now_ms)


def _change_without_engine(error: EngineNotAnswering | EngineElsewhere, claimed: Conversion, now_ms: int) -> Change:
    """Wait uncharged; each meeting with a worker that lacks the program makes the next pause longer."""
    if isinstance(error, EngineNotAnswering):
        return wait_for_engine(claimed, wait_ms=_engine_wait_ms(error, now_ms), now_ms=now_ms)
    wait_ms = min(FIRST_ENGINE_WAIT_MS * claimed.token, LONGEST_ENGINE_WAIT_MS)
    return wait_for_engine(claimed, wait_ms=wait_ms, now_ms=now_ms, stage=STAGE_ELSEWHERE)


def _engine_wait_ms(error: EngineNotAnswering, now_ms: int) -> int:
    """Wait as long as the program has been silent so far, so that a long silence costs few claims."""
    return min(max(now_ms - error.since, FIRST_ENGINE_WAIT_MS), LONGEST_ENGINE_WAIT_MS)


def _change_after_lease(ending: Ending, claimed: Conversion, now_ms: int) -> Change | None:
    if ending is Ending.FENCED:
        return None
    if ending is Ending.CANCEL_REQUESTED:
        return cancel_running(claimed, now_ms=now_ms)
    return hand_back(claimed, now_ms=now_ms)


def _public_reason(error: Exception) -> ConversionError:
    if isinstance(error, ConversionError):
        return error
    if _is_disk_full(error):
        return insufficient_storage()
    return EngineError("An internal error occurred while converting this file", code="internal_error")


def _is_disk_full(error: Exception) -> bool:
    """True for the system's "no space left": nothing is broken, and another attempt may find room."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def log_failure(claimed: Conversion, error: Exception) -> None:
    """Log why a job ended without a result; a traceback only for what is a bug."""
    if isinstance(error, EngineNotAnswering | EngineElsewhere):
        log.info("job.waits_for_engine", conversion_id=claimed.id, reason=error.detail)
    elif isinstance(error, ConvertoError):
        log.warning("job.failed", conversion_id=claimed.id, code=error.stable_code, reason=error.detail or str(error))
    elif isinstance(error, LeaderRunning):
        log.info("job.follows", conversion_id=claimed.id, key=error.key)
    elif _is_disk_full(error):
        log.warning("job.failed", conversion_id=claimed.id, code="insufficient_storage", reason=str(error))
    elif isinstance(error, LeaseEnded):
        log.warning("job.stopped", conversion_id=claimed.id, reason=error.ending.value)
    else:
        log.exception("job.broken", conversion_id=claimed.id)


class Completion:
    """Applies the final update of a job."""

    def __init__(
        self,
        *,
        conversions: ConversionStore,
        objects: ObjectStore,
        bus: EventBus,
        clock: Clock,
        hand_back: asyncio.Event,
    ) -> None:
        """`hand_back` is set when this worker has no time left to wait for the database."""
        self._conversions = conversions
        self._objects = objects
        self._bus = bus
        self._clock = clock
        self._hand_back = hand_back

    async def apply(self, claimed: Conversion, change: Change) -> Conversion | None:
        """Return the record after the update, None when its state is unknown or the conversion is no longer ours.

        Waits for the database as long as it takes, unless this worker has to end.
        """
        try:
            record = await self._update(claimed, change)
        except StoreUnavailable:
            log.warning("conversion.left_to_the_reaper", conversion_id=claimed.id)
            return None
        if record is None:
            await self._delete_outputs(change)
            return None
        ENDED.labels(record.status.value).inc()
        log.info(f"conversion.{record.status}", conversion_id=claimed.id, attempt=claimed.attempt)
        return record

    async def hand_back(self, claimed: Conversion) -> None:
        """Hand the conversion back while the process is ending, if that is quick; otherwise the reaper will."""
        try:
            async with asyncio.timeout(HAND_BACK_TIMEOUT_S):
                await self._update(claimed, hand_back(claimed, now_ms=self._clock.now_ms()))
        except (TimeoutError, StoreUnavailable):
            log.warning("conversion.left_to_the_reaper", conversion_id=claimed.id)

    async def _update(self, claimed: Conversion, change: Change) -> Conversion | None:
        retry = Retry(
            first_s=0.25,
            longest_s=2.0,
            clock=self._clock,
            stop=self._hand_back,
            attempts_when_stopped=ATTEMPTS_WHEN_STOPPED,
            on_failure=lambda _, failures: log.warning(
                "settlement.database_away", conversion_id=claimed.id, failures=failures
            ),
        )
        record = await retry(lambda: self._apply_or_look_up(claimed, change))
        if record is None:
            log.warning("conversion.fenced", conversion_id=claimed.id, token=claimed.token, wanted=change.to.value)
            return None
        if record.status is Status.PENDING and record.cancel_requested:
            record = await self._cancel_instead(record)
        await self._bus.publish_event(conversion_event(record))
        return record

    async def _apply_or_look_up(self, claimed: Conversion, change: Change) -> Conversion | None:
        """Apply an update that is safe to repeat: it holds only while the record is processing under our token.

        A refused update may be our own from before, whose answer was lost; the record shows which.
        """
        record = await self._conversions.apply(change)
        if record is not None:
            return record
        record = await self._conversions.get(claimed.id)
        is_ours = record is not None and record.token == claimed.token and record.status is change.to
        return record if is_ours else None

    async def _cancel_instead(self, record: Conversion) -> Conversion:
        """Cancel a record whose cancel request came at the last moment: nobody would claim it again.

        When the database is away, the sweeper cancels it.
        """
        change = cancel_waiting(record.id, owner=record.owner, now_ms=self._clock.now_ms())
        try:
            return await self._conversions.apply(change) or record
        except StoreUnavailable:
            return record

    async def _delete_outputs(self, change: Change) -> None:
        """Try to delete outputs that no record will refer to: their keys hold a token that is over."""
        keys = [output.key for output in change.assign.get("outputs", ())]
        try:
            await self._objects.delete(keys)
        except ObjectStoreUnavailable:
            log.warning("results.orphaned", conversion_id=change.id, count=len(keys))
