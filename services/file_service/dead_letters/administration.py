"""Use cases of dead letters: list, explain, requeue and drop, one by one or a page at a time.

Requeueing never publishes the old bytes. It makes the conversion's own message due now, with its current token and
lane; if no conversion is pending, a message could not achieve anything.
"""

from collections.abc import Awaitable, Callable

import msgspec
import structlog

from converto_core.conversion.transitions import republish_now
from converto_core.dead_letters import DeadLetter
from converto_core.errors import Conflict, NotFound
from converto_core.ids import now_ms
from converto_core.ports.dead_letters import DeadLetterFilter, DeadLetterStore
from converto_core.ports.stores import ConversionStore
from file_service.dead_letters.resolution import Resolution, ResolvedDeadLetter, resolve
from file_service.delivery.dispatch import Dispatch
from file_service.http.schemas.dead_letters import DeadLettersHandled, Refusal

MAX_TRIES = 3
"""The outbox may send the message between reading the conversion and changing it; then it is read again."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class DeadLetters:
    """Lists, explains, requeues and drops the dead letters of all owners."""

    def __init__(self, store: DeadLetterStore, conversions: ConversionStore, dispatch: Dispatch) -> None:
        self._store = store
        self._conversions = conversions
        self._dispatch = dispatch

    async def find(self, query: DeadLetterFilter) -> list[DeadLetter]:
        """Return the matching dead letters, latest first."""
        return await self._store.find(query)

    async def explain(self, message_id: str) -> ResolvedDeadLetter:
        """Return the dead letter with the current state of its conversion; raises `NotFound`."""
        message = await self._store.get(message_id)
        if message is None:
            raise NotFound(
                "There is no dead letter with this id; it was requeued or dropped, or its retention time is over"
            )
        conversion = None
        if message.conversion_id is not None:
            conversion = await self._conversions.get(message.conversion_id)
        return resolve(message, conversion)

    async def requeue(self, message_id: str) -> ResolvedDeadLetter:
        """Send the conversion's message now and delete the dead letter; raises `Conflict` if no message is needed."""
        for _ in range(MAX_TRIES):
            found = await self.explain(message_id)
            if found.resolution is not Resolution.WAITS or found.conversion is None:
                raise Conflict(found.advice)
            after = await self._dispatch.apply(republish_now(found.conversion, now_ms=now_ms()))
            if after is not None:
                await self._store.delete(message_id)  # last: sending a message twice is harmless, losing it is not
                log.info("message.requeued", message_id=message_id, conversion_id=after.id)
                return msgspec.structs.replace(found, conversion=after)
        raise Conflict("The conversion keeps changing its status; send the request again")

    async def drop(self, message_id: str) -> None:
        """Delete a dead letter without touching its conversion; raises `NotFound`."""
        if not await self._store.delete(message_id):
            raise NotFound("There is no dead letter with this id; it may have been dropped already")
        log.info("message.dropped", message_id=message_id)

    async def requeue_page(self, query: DeadLetterFilter) -> DeadLettersHandled:
        """Requeue one page of dead letters; those that cannot be requeued stay and are listed with the reason."""
        return await self._handle_page(query, self.requeue)

    async def drop_page(self, query: DeadLetterFilter) -> DeadLettersHandled:
        """Drop one page of dead letters."""
        return await self._handle_page(query, self.drop)

    async def _handle_page(
        self, query: DeadLetterFilter, handle: Callable[[str], Awaitable[object]]
    ) -> DeadLettersHandled:
        page = await self._store.find(query)
        handled, refusals = 0, []
        for message in page:
            try:
                await handle(message.id)
            except NotFound:
                continue  # another administrator was faster
            except Conflict as error:
                refusals.append(Refusal(message.id, error.public_message))
            else:
                handled += 1
        return DeadLettersHandled(
            settled=handled, refusals=refusals, next=page[-1].id if len(page) == query.limit else None
        )
