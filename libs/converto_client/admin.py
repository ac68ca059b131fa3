"""The calls that need an administrator's key: dead letters. `AsyncAdmin` and its blocking twin `Admin`."""

from converto_client.admin_models import DeadLetter, DeadLetterPage, DeadLettersHandled
from converto_client.blocking import Blocking, blocking
from converto_client.transport import API, Transport, segment, without_none

DEAD_LETTERS = "/admin/parked"


class AsyncAdmin:
    """The part of `AsyncConverto` that concerns the whole installation; raises `Forbidden` for other keys."""

    def __init__(self, transport: Transport) -> None:
        """Made by `AsyncConverto`."""
        self._transport = transport

    async def parked(
        self,
        *,
        reason: str | None = None,
        conversion_id: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> DeadLetterPage:
        """One page of dead letters, newest first; `after` is the `next` of the previous page."""
        params = without_none(reason=reason, conversion_id=conversion_id, limit=limit, after=after)
        return await self._transport.call("GET", DEAD_LETTERS, DeadLetterPage, params=params)

    async def parked_message(self, message_id: str) -> DeadLetter:
        """One dead letter with its body, the state of its conversion and advice."""
        return await self._transport.call("GET", f"{DEAD_LETTERS}/{segment(message_id)}", DeadLetter)

    async def requeue_parked(self, message_id: str) -> DeadLetter:
        """Publish a new message for the conversion; raises `Conflict` with the reason when it waits for none."""
        return await self._transport.call("POST", f"{DEAD_LETTERS}/{segment(message_id)}/requeue", DeadLetter)

    async def drop_parked(self, message_id: str) -> None:
        """Delete a dead letter; its conversion stays as it is."""
        await self._transport.send("DELETE", f"{API}{DEAD_LETTERS}/{segment(message_id)}")

    async def requeue_many_parked(
        self, *, reason: str | None = None, conversion_id: str | None = None, after: str | None = None
    ) -> DeadLettersHandled:
        """Requeue one page of up to 200; repeat with `after` until the answer's `next` is None."""
        return await self._handle_page("requeue", reason=reason, conversion_id=conversion_id, after=after)

    async def drop_many_parked(
        self, *, reason: str | None = None, conversion_id: str | None = None, after: str | None = None
    ) -> DeadLettersHandled:
        """Drop one page of up to 200; repeat with `after` until the answer's `next` is None."""
        return await self._handle_page("drop", reason=reason, conversion_id=conversion_id, after=after)

    async def _handle_page(self, action: str, **choice: str | None) -> DeadLettersHandled:
        body = without_none(**choice)
        return await self._transport.call("POST", f"{DEAD_LETTERS}/{action}", DeadLettersHandled, body=body)


class Admin(Blocking[AsyncAdmin]):
    """The same calls for code without an event loop."""

    parked = blocking(AsyncAdmin.parked)
    parked_message = blocking(AsyncAdmin.parked_message)
    requeue_parked = blocking(AsyncAdmin.requeue_parked)
    drop_parked = blocking(AsyncAdmin.drop_parked)
    requeue_many_parked = blocking(AsyncAdmin.requeue_many_parked)
    drop_many_parked = blocking(AsyncAdmin.drop_many_parked)
