"""A private event loop in a thread of its own, so that plain code can call asynchronous code. It knows no HTTP."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Portal:
    """Runs coroutines one call at a time from any thread; made on first use, ended by `close()`."""

    def __init__(self) -> None:
        """The thread starts with the first call, so that an unused client costs nothing."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run to the end and return the answer; Ctrl-C here cancels the work there."""
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def iterate(self, records: AsyncGenerator[Answer, None]) -> Iterator[Answer]:
        """Step through an asynchronous generator; leaving the loop early closes it."""
        try:
            while True:
                found = self.run(_next(records))
                if not found:
                    return
                yield found[0]
        finally:
            self.run(_close(records))

    def close(self) -> None:
        """End the loop and its thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="converto-client", daemon=True)
                self._thread.start()
            return self._loop


async def _next(records: AsyncGenerator[Answer, None]) -> list[Answer]:
    """The next one, or an empty list at the end: StopAsyncIteration must not cross a task."""
    async for record in records:
        return [record]
    return []


async def _close(records: AsyncGenerator[Answer, None]) -> None:
    await records.aclose()
