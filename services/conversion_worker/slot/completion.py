"""How a job's end becomes one conditional update, and how that update gets through. It knows nothing of messages.

`change_for` decides, `Completion` carries out. An update whose answer was lost is looked up, never guessed.
"""

import asyncio
import errno
from typing import Protocol

import structlog

from conversion_worker.clock import Clock, backoff_s
from conversion_worker.job.result import Finished
from conversion_worker.job.source import insufficient_storage
from conversion_worker.single_flight.single_flight import LeaderRunning
from conversion_worker.slot.lease import Ending, LeaseEnded
from converto_core.conversion.change import Change
from converto_core.conversion.processing import cancel_running, complete, fail, hand_back, retry_later, wait_for_leader
from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import cancel_waiting
from converto_core.errors import ConversionError, DependencyUnavailable, EngineError, StoreUnavailable
from converto_core.events import conversion_event
from converto_core.ports.bus import EventBus
from converto_core.ports.stores import ConversionStore

TRIES_WHEN_LEAVING = 3  # a worker that has to go leaves the rest to the reaper

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class AttemptSettings(Protocol):
    """How often and how soon an engine gets another try."""

    @property
    def max_attempts(self) -> int:
        """Tries in all."""

    @property
    def retry_base_s(self) -> float:
        """Longest wait before the second try; doubles with each further one."""

    @property
    def retry_max_s(self) -> float:
        """Longest wait at all."""


def completion(claimed: Conversion, finished: Finished, *, now_ms: int) -> Change:
    """The update that makes a job's results visible."""
    return complete(
        claimed,
        outputs=finished.outputs,
        engine_versions=finished.engine_versions,
        notes=finished.notes,
        cached_from=finished.cached_from,
        now_ms=now_ms,
    )


def change_for(error: Exception, claimed: Conversion, *, settings: AttemptSettings, now_ms: int) -> Change | None:
    """The update that follows from an error; None when the conversion is not ours any more."""
    if isinstance(error, LeaseEnded):
        return _after_lease(error.ending, claimed, now_ms)
    if isinstance(error, LeaderRunning):
        return wait_for_leader(claimed, cache_key=error.key, wait_ms=error.wait_ms, now_ms=now_ms)
    if isinstance(error, DependencyUnavailable):
        return hand_back(claimed, now_ms=now_ms)
    reason = _public_reason(error)
    code, message = reason.stable_code, reason.public_message
    if not reason.retryable or claimed.attempt >= settings.max_attempts:
        return fail(claimed, code=code, message=message, now_ms=now_ms, is_hopeless=not reason.retryable)
    wait_s = backoff_s(claimed.attempt, base_s=settings.retry_base_s, max_s=settings.retry_max_s)
    return retry_later(claimed, code=code, message=message, wait_ms=int(wait_s * 1000), now_ms=now_ms)


def _after_lease(ending: Ending, claimed: Conversion, now_ms: int) -> Change | None:
    if ending is Ending.FENCED:
        return None
    if ending is Ending.CANCEL_REQUESTED:
        return cancel_running(claimed, now_ms=now_ms)
    return hand_back(claimed, now_ms=now_ms)


def _public_reason(error: Exception) -> ConversionError:
    if isinstance(error, ConversionError):
        return error
    if is_disk_full(error):
        return insufficient_storage()
    return EngineError("Something went wrong on our side while converting this file", code="internal_error")


def is_disk_full(error: Exception) -> bool:
    """True for what the system says when there is no room: nothing is broken, and another try may have it."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


class Completion:
    """Applies the last update of a job."""

    def __init__(self, *, store: ConversionStore, bus: EventBus, clock: Clock, leaving: asyncio.Event) -> None:
        """`leaving` is set when this worker has no time left to wait for the database."""
        self._store = store
        self._bus = bus
        self._clock = clock
        self._leaving = leaving

    async def settle(self, claimed: Conversion, change: Change) -> Conversion | None:
        """The record after the update, None when the conversion is not ours any more.

        Waits for the database as long as it takes; raises `StoreUnavailable` only when this worker has to leave.
        """
        record = await self._get_through(claimed, change)
        if record is None:
            log.warning("conversion.fenced", conversion_id=claimed.id, token=claimed.token, wanted=change.to.value)
            return None
        if record.status is Status.PENDING and record.cancel_requested:
            record = await self._cancel_instead(record)
        await self._bus.publish_event(conversion_event(record))
        return record

    async def _get_through(self, claimed: Conversion, change: Change) -> Conversion | None:
        failures = 0
        while True:
            try:
                return await self._apply_or_look_up(claimed, change)
            except StoreUnavailable:
                failures += 1
                log.warning("settlement.database_away", conversion_id=claimed.id, failures=failures)
                if self._leaving.is_set() and failures >= TRIES_WHEN_LEAVING:
                    raise
            await self._clock.wait(self._leaving, backoff_s(failures, base_s=0.25, max_s=2.0))

    async def _apply_or_look_up(self, claimed: Conversion, change: Change) -> Conversion | None:
        """Repeating is safe: the update holds only while the record is being processed under our token.

        A refused one may be our own from before, whose answer was lost; the record tells.
        """
        record = await self._store.apply(change)
        if record is not None:
            return record
        record = await self._store.get(claimed.id)
        is_ours = record is not None and record.token == claimed.token and record.status is change.to
        return record if is_ours else None

    async def _cancel_instead(self, record: Conversion) -> Conversion:
        """A cancel that came in the last moment: nobody would claim it again, so it ends here (or by the sweeper)."""
        change = cancel_waiting(record.id, owner=record.owner, now_ms=self._clock.now_ms())
        try:
            return await self._store.apply(change) or record
        except StoreUnavailable:
            return record
