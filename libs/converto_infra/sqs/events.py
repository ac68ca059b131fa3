"""`UploadEvents` on SQS. boto3 blocks, so every call runs in a thread of a small pool."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from converto_core.ports.upload_events import UploadMessage
from converto_infra.resilience import upload_events_guard
from converto_infra.settings import Settings
from converto_infra.sqs.queue import BATCH, HIDDEN_S, WAIT_S, Queue, translated
from converto_infra.threads import CallThreads

T = TypeVar("T")

CALL_THREADS = BATCH + 1
"""One waits for messages while the messages of a batch are deleted or hidden."""


class SqsUploadEvents:
    """`UploadEvents` on one queue."""

    hidden_s: float = HIDDEN_S

    def __init__(self, settings: Settings, url: str, *, wait_s: int = WAIT_S) -> None:
        """`wait_s` is how long `receive` waits for a message."""
        self.guard = upload_events_guard(settings)
        self._receive_timeout_s = wait_s + settings.s3_timeout_s
        self._calls = CallThreads("upload_events", CALL_THREADS)
        self._queue: Future[Queue] = self._calls.submit(lambda: Queue(settings, url, wait_s=wait_s))  # takes CPU

    @classmethod
    def connect(cls, settings: Settings) -> "SqsUploadEvents | None":
        """Create the adapter, which connects on first use; None without a queue in the settings."""
        url = settings.upload_events_queue_url
        return None if url is None else cls(settings, url)

    async def close(self) -> None:
        """Stop the threads; what one of them still receives is delivered again later."""
        self._calls.close()

    async def receive(self) -> list[UploadMessage]:
        """Up to ten messages, as soon as there is one; none after `wait_s`."""
        return await self.guard.run(
            lambda: self._in_thread(lambda queue: queue.receive()), timeout_s=self._receive_timeout_s
        )

    async def delete(self, messages: Sequence[UploadMessage]) -> None:
        """Delete messages; those that are gone count as deleted."""
        await self._repeatable(lambda queue: queue.delete(messages))

    async def hide(self, message: UploadMessage, *, seconds: float) -> None:
        """Hide a message for whole seconds; does nothing if it is not ours any more."""
        await self._repeatable(lambda queue: queue.hide(message, seconds))

    async def _repeatable(self, call: Callable[[Queue], T]) -> T:
        return await self.guard.run_repeatable(lambda: self._in_thread(call))

    async def _in_thread(self, call: Callable[[Queue], T]) -> T:
        def run() -> T:
            with translated():
                return call(self._queue.result())

        return await self._calls.run(run)
