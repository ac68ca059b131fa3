"""A deadline for driver calls that holds whatever the driver does with a cancellation."""

import asyncio
import time
from asyncio.tasks import _unregister_task
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from converto_core.errors import DependencyUnavailable
from converto_infra.metrics import ABANDONED_NOW, CALLS_ABANDONED

T = TypeVar("T")
OnBroken = Callable[[float, str], None]
OnMissed = Callable[[float], None]

GRACE_S = 0.1  # a driver that is cancelled needs some turns of the event loop to close its connection

log = structlog.get_logger(__name__)


class CallAborted(Exception):
    """The driver raised `CancelledError`, but nobody cancelled the call: aiormq does so when a connection dies."""


class AbandonableCalls:
    """Runs each call of one dependency in a task of its own, which is abandoned when it does not end in time.

    PyMongo ignores a cancellation while it waits for a lock, and a lock that it has lost never becomes free. It is a
    cancellation that makes it lose one: the second of a call, or one that meets the end of a wait inside the driver. A
    call is therefore cancelled at most once, and where the driver has deadlines of its own, only after those.
    """

    def __init__(
        self,
        dependency: str,
        *,
        on_broken: OnBroken | None = None,
        on_missed: OnMissed | None = None,
        linger_s: float = 0.0,
        grace_s: float = GRACE_S,
    ) -> None:
        """`on_broken` is told when a call proves the driver's client broken: when that call began, and what it did.

        `on_missed` is told when a call that began then has missed its deadline, which proves nothing by itself. A call
        that nobody waits for any more is cancelled after `linger_s`, when the driver should have ended it by itself.
        """
        self._dependency, self._linger_s, self._grace_s = dependency, linger_s, grace_s
        self._on_broken, self._on_missed = on_broken, on_missed
        self._left: set[asyncio.Task[Any]] = set()
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def within(self, timeout_s: float, call: Callable[[], Awaitable[T]]) -> T:
        """Await one call; raises `TimeoutError` after `timeout_s` and `CallAborted` when the driver cancels its call.

        A cancellation of the caller is raised in any case, soon after the call was told of it.
        """
        began_at_s = time.monotonic()
        running = asyncio.create_task(_await(call))
        try:
            done, _ = await asyncio.wait((running,), timeout=timeout_s)
        except asyncio.CancelledError:
            await self._leave(running, began_at_s)
            self._consume(running, began_at_s)
            raise
        if not done:
            await self._leave(running, began_at_s)
            if self._on_missed is not None:
                self._on_missed(began_at_s)
        if not running.done() or (not done and running.cancelled()):
            raise TimeoutError
        try:
            return running.result()
        except asyncio.CancelledError as error:
            raise CallAborted from error
        except DependencyUnavailable as error:
            self._check(error, began_at_s)
            raise
        finally:
            del running  # else its error, the traceback and this frame hold each other

    async def _leave(self, running: asyncio.Task[T], began_at_s: float) -> None:
        """Stop waiting for a call: let it linger, or else end it."""
        if not self._linger_s:
            await self._end(running, began_at_s)
            return
        self._left.add(running)
        running.add_done_callback(lambda _: self._ended_by_itself(running, began_at_s))
        asyncio.get_running_loop().call_later(self._linger_s, self._cancel_late, running, began_at_s)

    def _ended_by_itself(self, running: asyncio.Task[T], began_at_s: float) -> None:
        self._left.discard(running)
        self._consume(running, began_at_s)

    def _cancel_late(self, running: asyncio.Task[T], began_at_s: float) -> None:
        if running.cancel():
            asyncio.get_running_loop().call_later(self._grace_s, self._abandon, running, began_at_s)

    async def _end(self, running: asyncio.Task[T], began_at_s: float) -> None:
        """Cancel a call and wait for the grace; what does not end then is abandoned."""
        running.cancel()
        try:
            await asyncio.wait((running,), timeout=self._grace_s)
        finally:
            self._abandon(running, began_at_s)

    def _abandon(self, running: asyncio.Task[T], began_at_s: float) -> None:
        """Keep a call until it ends, if it ever does; the end of the process does not wait for it."""
        if running.done():
            return
        self._abandoned.add(running)
        _unregister_task(running)
        running.add_done_callback(lambda _: self._ended_late(running, began_at_s))
        ABANDONED_NOW.labels(self._dependency).set(len(self._abandoned))
        CALLS_ABANDONED.labels(self._dependency).inc()
        log.warning("call.abandoned", dependency=self._dependency, after_s=round(time.monotonic() - began_at_s, 2))
        self._report(began_at_s, "a call did not end when it was cancelled")

    def _ended_late(self, running: asyncio.Task[T], began_at_s: float) -> None:
        self._abandoned.discard(running)
        ABANDONED_NOW.labels(self._dependency).set(len(self._abandoned))
        self._consume(running, began_at_s)
        log.info("call.ended_late", dependency=self._dependency, after_s=round(time.monotonic() - began_at_s, 2))

    def _consume(self, running: asyncio.Task[T], began_at_s: float) -> None:
        """Take the error of a call whose caller is gone, so that asyncio does not warn about it."""
        if not running.done() or running.cancelled():
            return
        error = running.exception()
        if isinstance(error, DependencyUnavailable):
            self._check(error, began_at_s)

    def _check(self, error: DependencyUnavailable, began_at_s: float) -> None:
        if error.is_client_broken:
            self._report(began_at_s, error.detail)

    def _report(self, began_at_s: float, reason: str) -> None:
        if self._on_broken is not None:
            self._on_broken(began_at_s, reason)


async def _await(call: Callable[[], Awaitable[T]]) -> T:
    return await call()
