"""What only an administrator's key may ask: parked messages. `AsyncAdmin` does the work, `Admin` is for plain code."""

from converto_client.admin_models import DeadLetter, DeadLetterPage, DeadLettersHandled
from converto_client.portal import Portal
from converto_client.transport import API, Transport, segment, without_none

PARKED = "/admin/parked"


class AsyncAdmin:
    """The part of `AsyncConverto` that concerns the whole installation; raises `Forbidden` without the right."""

    def __init__(self, transport: Transport) -> None:
        """Made by `AsyncConverto`, not by hand."""
        self._transport = transport

    async def parked(
        self,
        *,
        reason: str | None = None,
        conversion_id: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> DeadLetterPage:
        """One page of messages that the broker set aside; `after` is the `next` of the page before."""
        params = without_none(reason=reason, conversion_id=conversion_id, limit=limit, after=after)
        return await self._transport.call("GET", PARKED, DeadLetterPage, params=params)

    async def parked_message(self, message_id: str) -> DeadLetter:
        """One of them with its body, what became of its conversion, and what to do."""
        return await self._transport.call("GET", f"{PARKED}/{segment(message_id)}", DeadLetter)

    async def requeue_parked(self, message_id: str) -> DeadLetter:
        """Wake its conversion now; raises `Conflict`, which says why, when none waits for it."""
        return await self._transport.call("POST", f"{PARKED}/{segment(message_id)}/requeue", DeadLetter)

    async def drop_parked(self, message_id: str) -> None:
        """Forget a message; its conversion stays as it is."""
        await self._transport.send("DELETE", f"{API}{PARKED}/{segment(message_id)}")

    async def requeue_many_parked(
        self, *, reason: str | None = None, conversion_id: str | None = None, after: str | None = None
    ) -> DeadLettersHandled:
        """Requeue one page of them (200); go on with `after` until its `next` is None."""
        body = without_none(reason=reason, conversion_id=conversion_id, after=after)
        return await self._transport.call("POST", f"{PARKED}/requeue", DeadLettersHandled, body=body)

    async def drop_many_parked(
        self, *, reason: str | None = None, conversion_id: str | None = None, after: str | None = None
    ) -> DeadLettersHandled:
        """Drop one page of them (200); go on with `after` until its `next` is None."""
        body = without_none(reason=reason, conversion_id=conversion_id, after=after)
        return await self._transport.call("POST", f"{PARKED}/drop", DeadLettersHandled, body=body)


class Admin:
    """The same for code without an event loop; each method is described at `AsyncAdmin`."""

    def __init__(self, portal: Portal, admin: AsyncAdmin) -> None:
        """Made by `Converto`, not by hand."""
        self._portal = portal
        self._admin = admin

    def parked(
        self,
        *,
        reason: str | None = None,
        conversion_id: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> DeadLetterPage:
        """One page of messages that the broker set aside; `after` is the `next` of the page before."""
        return self._portal.run(
            self._admin.parked(reason=reason, conversion_id=conversion_id, limit=limit, after=after)
        )

    def parked_message(self, message_id: str) -> DeadLetter:
        """One of them with its body, what became of its conversion, and what to do."""
        return self._portal.run(self._admin.parked_message(message_id))

    def requeue_parked(self, message_id: str) -> DeadLetter:
        """Wake its conversion now; raises `Conflict`, which says why, when none waits for it."""
        return self._portal.run(self._admin.requeue_parked(message_id))

    def drop_parked(self, message_id: str) -> None:
        """Forget a message; its conversion stays as it is."""
        self._portal.run(self._admin.drop_parked(message_id))

    def requeue_many_parked(
        self, *, reason: str | None = None, conversion_id: str | None = None, after: str | None = None
    ) -> DeadLettersHandled:
        """Requeue one page of them (200); go on with `after` until its `next` is None."""
        work = self._admin.requeue_many_parked(reason=reason, conversion_id=conversion_id, after=after)
        return self._portal.run(work)

    def drop_many_parked(
        self, *, reason: str | None = None, conversion_id: str | None = None, after: str | None = None
    ) -> DeadLettersHandled:
        """Drop one page of them (200); go on with `after` until its `next` is None."""
        work = self._admin.drop_many_parked(reason=reason, conversion_id=conversion_id, after=after)
        return self._portal.run(work)
