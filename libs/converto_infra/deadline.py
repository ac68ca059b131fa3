"""A deadline for driver calls that neither loses a cancellation nor mistakes a dead connection for one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class CallAborted(Exception):
    """The driver raised `CancelledError`, but nobody cancelled this task: aiormq does so when a connection dies."""


async def within(timeout_s: float, call: Callable[[], Awaitable[T]]) -> T:
    """Await one call; raises `TimeoutError` after `timeout_s` and `CallAborted` when the driver cancels its own call.

    A cancellation that the driver swallows, or replaces by its answer or by another error, is raised all the same
    (`asyncio.wait_for` loses one that arrives together with the answer before Python 3.12).
    """
    cancelled_before = _cancellations()
    try:
        async with asyncio.timeout(timeout_s):
            result = await call()
    except asyncio.CancelledError as error:
        if _cancellations() > 0:
            raise
        raise CallAborted from error
    except Exception as error:
        if _cancellations() > cancelled_before:
            raise asyncio.CancelledError from error
        raise
    if _cancellations() > cancelled_before:
        raise asyncio.CancelledError
    return result


def _cancellations() -> int:
    """How many times this task was asked to stop, whether or not it reacted."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
