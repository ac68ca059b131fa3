"""A bounded pool of threads for a driver that blocks; it is replaced when too many of its threads hang."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from converto_infra.metrics import CLIENTS_RENEWED

T = TypeVar("T")

MOST_LEFT_BEHIND = 64  # a thread hangs for ever only on a server that sends a byte now and then

log = structlog.get_logger(__name__)


class CallThreads:
    """Runs blocking calls. A call whose caller has given up keeps its thread until the driver's own timeout ends it.

    When half of the threads hang like that, new calls would have to wait for them, so that new threads take over.
    """

    def __init__(self, dependency: str, threads: int, *, most_left_behind: int = MOST_LEFT_BEHIND) -> None:
        """`dependency` labels logs and metrics; no more threads than `most_left_behind` are replaced."""
        self._dependency, self._threads, self._most_left_behind = dependency, threads, most_left_behind
        self._hanging: set[Future[Any]] = set()
        self._left_behind: set[Future[Any]] = set()
        self._pool = self._new_pool()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Start a call that nobody gives up."""
        return self._pool.submit(call)

    async def run(self, call: Callable[[], T]) -> T:
        """Await one call."""
        running = self._pool.submit(call)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if not running.done():
                self._give_up(running)
            raise

    def close(self) -> None:
        """Accept no more calls; those that run end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _give_up(self, running: Future[Any]) -> None:
        self._hanging = _running({*self._hanging, running})
        self._left_behind = _running(self._left_behind)
        can_replace = len(self._left_behind) + len(self._hanging) <= self._most_left_behind
        if 2 * len(self._hanging) >= self._threads and can_replace:
            self._replace()

    def _replace(self) -> None:
        """Leave the threads that hang behind; what waited for them fails at once and may be repeated."""
        old, self._pool = self._pool, self._new_pool()
        self._left_behind |= self._hanging
        self._hanging = set()
        old.shutdown(wait=False, cancel_futures=True)
        CLIENTS_RENEWED.labels(self._dependency).inc()
        log.warning("threads.replaced", dependency=self._dependency, hanging=len(self._left_behind))

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix=f"{self._dependency}-call")


def _running(futures: Iterable[Future[Any]]) -> set[Future[Any]]:
    return {future for future in futures if not future.done()}
