"""Every request is answered within two seconds, whatever its calls do: with 503 when its time is used up.

Guarded calls share the time of their request (`converto_infra.time_budget`), so that most requests end by an error that
names the dependency. What waits elsewhere is given up here. Streams and `Prefer: wait` have no limit. The time in which
a client sends its body does not count, and a form gets more time for each byte that has to be passed on.
"""

import asyncio
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from converto_core.errors import ConvertoError, RequestTimedOut
from converto_infra.time_budget import TimeBudget
from file_service.http.load_shedding import is_form, is_stream
from file_service.http.problem_details import send_problem

GIVE_UP_AFTER_S = 0.25
"""After the time is used up: a call that is being cancelled, and the response, get this much longer."""
FORM_BYTES_PER_S = 8 * 1024 * 1024
"""How fast the object store takes the file of a form at least."""

log = structlog.get_logger()


class TimeLimit:
    """ASGI middleware between `LoadShedding` and the routes."""

    def __init__(self, app: ASGIApp, *, seconds: float, give_up_after_s: float = GIVE_UP_AFTER_S) -> None:
        """`seconds` is the time that the guarded calls of one request may take together."""
        self._app, self._seconds, self._give_up_after_s = app, seconds, give_up_after_s
        self._given_up: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI request."""
        if scope["type"] != ScopeType.HTTP or is_stream(scope):
            await self._app(scope, receive, send)
            return
        budget, response = TimeBudget(self._seconds), _Response(send)
        receive = _uncounted(receive, budget, is_form=is_form(scope))
        serving = asyncio.create_task(self._serve(scope, receive, response, budget))
        try:
            await self._wait(serving, response, budget)
        except asyncio.CancelledError:
            self._give_up(serving)
            raise
        if serving.done():
            await serving
        else:
            self._give_up(serving)
            await response.replace(scope)

    async def _serve(self, scope: HTTPScope, receive: Receive, response: "_Response", budget: TimeBudget) -> None:
        with budget.spent_here():
            await self._app(scope, receive, response.send)

    async def _wait(self, serving: asyncio.Task[None], response: "_Response", budget: TimeBudget) -> None:
        """Wait for the end of the request, or until its time is up before the response has begun."""
        while not serving.done() and (response.has_begun or budget.left_s > -self._give_up_after_s):
            left_s = None if response.has_begun else self._give_up_after_s + budget.left_s
            if budget.is_stopped:
                left_s = self._seconds  # then look again
            await asyncio.wait((serving,), timeout=left_s)

    def _give_up(self, serving: asyncio.Task[None]) -> None:
        """Cancel a request that nobody waits for any more; it may still release what it holds."""
        self._given_up.add(serving)
        serving.add_done_callback(self._ended)
        serving.cancel()

    def _ended(self, serving: asyncio.Task[None]) -> None:
        self._given_up.discard(serving)
        error = None if serving.cancelled() else serving.exception()
        if error is not None and not isinstance(error, ConvertoError):
            log.error("request.crashed", exc_info=error)


class _Response:
    """Passes the response on, until it has been replaced."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = self._is_replaced = False

    async def send(self, message: Message) -> None:
        if not self._is_replaced:
            self.has_begun = True
            await self._send(message)

    async def replace(self, scope: HTTPScope) -> None:
        """Send a 503 instead."""
        self._is_replaced = True
        log.warning("request.timed_out", request_id=str(scope.get("request_id", "")), path=scope["path"])
        await send_problem(RequestTimedOut(), scope, self._send)


def _uncounted(receive: Receive, budget: TimeBudget, *, is_form: bool) -> Receive:
    """Do not count the time that the client takes to send its body."""

    async def receive_uncounted() -> Any:
        with budget.stopped():
            message = await receive()
        if is_form and message["type"] == "http.request":
            budget.extend(len(message.get("body", b"")) / FORM_BYTES_PER_S)
        return message

    return receive_uncounted
