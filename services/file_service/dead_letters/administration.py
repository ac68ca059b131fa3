"""Use cases of parked messages: list, show, requeue, drop, one by one or many at once. It knows no HTTP and no queue.

A message is only a wake-up. So requeueing never publishes the old bytes: it lets the conversion's own wake-up leave at
once, with the token and lane that hold now. Where no conversion waits, there is nothing that a message could do.
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
from file_service.dead_letters.resolution import Explained, Resolution, explained
from file_service.delivery.dispatch import Dispatch
from file_service.http.dead_letter_bodies import DeadLettersHandled, Refusal

TRIES = 3
"""A wake-up may leave by itself between our look at its conversion and our change; this often we look again."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class DeadLetters:
    """Messages that the broker set aside. They concern the whole installation, so no owner limits what is seen."""

    def __init__(self, parked: DeadLetterStore, conversions: ConversionStore, dispatch: Dispatch) -> None:
        self._parked = parked
        self._conversions = conversions
        self._dispatch = dispatch

    async def find(self, query: DeadLetterFilter) -> list[DeadLetter]:
        """The last that died first."""
        return await self._parked.find(query)

    async def explain(self, message_id: str) -> Explained:
        """The message, and what became of its conversion; raises `NotFound`."""
        message = await self._parked.get(message_id)
        if message is None:
            raise NotFound("No parked message has this id; it may have been settled, or forgotten after its retention")
        conversion = None
        if message.conversion_id is not None:
            conversion = await self._conversions.get(message.conversion_id)
        return explained(message, conversion)

    async def requeue(self, message_id: str) -> Explained:
        """Let its conversion's wake-up leave now, and forget the message; raises `Conflict` when none is needed."""
        for _ in range(TRIES):
            found = await self.explain(message_id)
            if found.outlook is not Resolution.WAITS or found.conversion is None:
                raise Conflict(found.advice)
            after = await self._dispatch.apply(republish_now(found.conversion, now_ms=now_ms()))
            if after is not None:
                await self._parked.delete(message_id)  # last: repeating a wake-up costs nothing, losing one could
                log.info("message.requeued", message_id=message_id, conversion_id=after.id)
                return msgspec.structs.replace(found, conversion=after)
        raise Conflict("The conversion changes right now; please ask again")

    async def drop(self, message_id: str) -> None:
        """Forget a message; its conversion is not touched. Raises `NotFound`."""
        if not await self._parked.delete(message_id):
            raise NotFound("No parked message has this id; it may have been dropped already")
        log.info("message.dropped", message_id=message_id)

    async def requeue_page(self, query: DeadLetterFilter) -> DeadLettersHandled:
        """Requeue every message of one page; what cannot be requeued stays and is told."""

        async def settle(message: DeadLetter) -> None:
            await self.requeue(message.id)

        return await self._settle_page(query, settle)

    async def drop_page(self, query: DeadLetterFilter) -> DeadLettersHandled:
        """Forget every message of one page."""

        async def settle(message: DeadLetter) -> None:
            await self.drop(message.id)

        return await self._settle_page(query, settle)

    async def _settle_page(
        self, query: DeadLetterFilter, settle: Callable[[DeadLetter], Awaitable[None]]
    ) -> DeadLettersHandled:
        page = await self._parked.find(query)
        settled, refusals = 0, []
        for message in page:
            try:
                await settle(message)
            except NotFound:
                continue  # another administrator was quicker
            except Conflict as error:
                refusals.append(Refusal(message.id, error.public_message))
            else:
                settled += 1
        return DeadLettersHandled(
            settled=settled, refusals=refusals, next=page[-1].id if len(page) == query.limit else None
        )
