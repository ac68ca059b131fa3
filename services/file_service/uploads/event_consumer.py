"""Confirms uploads when the object store reports them (behaviour C7), so that no client has to.

An event is only a reason to look: what counts is the record and the object at that time. So duplicates, late events and
events in any order are harmless. A message is deleted after the records have moved, or when nothing is left to do.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum

import structlog

from converto_core.errors import DependencyUnavailable, UploadEventsUnavailable
from converto_core.files.record import FileStatus
from converto_core.object_keys import SourceKey, parse_key
from converto_core.ports.stores import FileStore
from converto_core.ports.upload_events import UploadEvents, UploadMessage
from converto_infra.clock import Clock
from converto_infra.metrics import UPLOAD_EVENTS
from converto_infra.retry import Retry
from file_service.uploads.unattended import ConfirmUpload, confirm_unattended

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Pauses while a dependency is away; no message is received meanwhile, so none comes near its dead letters."""
FIRST_DELAY_S, LONGEST_DELAY_S = 5.0, 600.0
"""How long a postponed message stays hidden; doubles with each delivery."""
EXTENSIONS_PER_PERIOD = 3
"""How often a message that is being handled is hidden again before it would become visible."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """What became of a delivered message."""

    SETTLED = "settled"
    POSTPONED = "postponed"
    """A dependency was away; the message comes again."""
    UNREADABLE = "unreadable"
    BROKEN = "broken"
    """A bug. Like an unreadable one, the message comes again until the queue makes it a dead letter."""


class UploadEventConsumer:
    """Receives messages and confirms the uploads that they report."""

    def __init__(
        self,
        events: UploadEvents,
        files: FileStore,
        *,
        confirm_upload: ConfirmUpload,
        check_dependencies: Callable[[], Awaitable[None]],
        clock: Clock | None = None,
    ) -> None:
        """`check_dependencies` raises `DependencyUnavailable` while confirmations cannot succeed."""
        self._events = events
        self._files = files
        self._confirm_upload = confirm_upload
        self._check_dependencies = check_dependencies
        self._clock = clock or Clock()

    async def run(self, stopping: asyncio.Event) -> None:
        """Handle messages until `stopping` is set; those received by then are handled first."""
        retry = Retry(
            first_s=FIRST_PAUSE_S,
            longest_s=LONGEST_PAUSE_S,
            clock=self._clock,
            stop=stopping,
            attempts_when_stopped=1,
            on_failure=_log_pause,
        )
        while not stopping.is_set():
            with suppress(DependencyUnavailable):  # only when it has been stopped
                outcomes = await self._handle_all(await retry(self._events.receive))
                if Outcome.POSTPONED in outcomes:
                    await retry(self._check_dependencies)

    async def _handle_all(self, messages: list[UploadMessage]) -> list[Outcome]:
        async with asyncio.TaskGroup() as group:
            handling = [group.create_task(self._handle(message)) for message in messages]
        return [handled.result() for handled in handling]

    async def _handle(self, message: UploadMessage) -> Outcome:
        async with asyncio.TaskGroup() as group:
            hiding = group.create_task(self._keep_hidden(message))
            outcome = await self._settle(message)
            hiding.cancel()
        UPLOAD_EVENTS.labels(outcome).inc()
        return outcome

    async def _settle(self, message: UploadMessage) -> Outcome:
        if message.defect:
            log.warning("upload_event.unreadable", message_id=message.id, reason=message.defect)
            return Outcome.UNREADABLE
        try:
            for key in message.keys:
                await self._look_at(key)
            await self._events.delete([message])
        except UploadEventsUnavailable as error:
            log.warning("upload_event.not_deleted", message_id=message.id, detail=error.detail)
        except DependencyUnavailable as error:
            await self._postpone(message, error)
            return Outcome.POSTPONED
        except Exception:  # message loop: a bug met by one message must not stop the others
            log.exception("upload_event.broken", message_id=message.id, keys=message.keys)
            return Outcome.BROKEN
        return Outcome.SETTLED

    async def _look_at(self, key: str) -> None:
        source = parse_key(key)
        if not isinstance(source, SourceKey):
            return  # an output, or not an object of ours
        file = await self._files.get(source.file_id)
        if file is None or file.status is FileStatus.DELETED or file.key != key:
            log.info("upload_event.without_file", key=key)  # deleted since, or an older version of the content
            return
        found = await confirm_unattended(self._confirm_upload, file.id, by="event")
        log.info("upload_event.settled", file_id=file.id, found=found)

    async def _postpone(self, message: UploadMessage, error: DependencyUnavailable) -> None:
        """Hide the message for longer with each delivery; if that fails, it comes again after the usual time."""
        delay_s = min(FIRST_DELAY_S * 2.0 ** min(message.deliveries - 1, 16), LONGEST_DELAY_S)
        log.warning("upload_event.postponed", message_id=message.id, code=error.stable_code, delay_s=delay_s)
        with suppress(UploadEventsUnavailable):
            await self._events.hide(message, seconds=delay_s)

    async def _keep_hidden(self, message: UploadMessage) -> None:
        """Hide the message again and again while it is handled, however long that takes."""
        while True:
            await self._clock.sleep(self._events.hidden_s / EXTENSIONS_PER_PERIOD)
            with suppress(UploadEventsUnavailable):  # it would only be delivered twice
                await self._events.hide(message, seconds=self._events.hidden_s)


def _log_pause(error: DependencyUnavailable, failures: int) -> None:
    if failures == 1:
        log.warning("upload_events.paused", code=error.stable_code, detail=error.detail)
