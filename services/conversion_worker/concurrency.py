"""Several coroutines side by side under one owner, with one plain error instead of a group. It knows no conversion."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

Answer = TypeVar("Answer")
Work = Callable[[], Coroutine[Any, Any, Answer]]


async def all_of(works: Sequence[Work[Answer]], *, at_once: int) -> list[Answer]:
    """The answers of all works in order, at most `at_once` of them side by side; the first error ends the rest."""
    gate = asyncio.Semaphore(at_once)

    async def gated(work: Work[Answer]) -> Answer:
        async with gate:
            return await work()

    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(gated(work)) for work in works]
    except BaseExceptionGroup as group:
        raise decisive_error(group) from None
    return [task.result() for task in running]


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, Answer]) -> Answer | None:
    """The answer of the work, or None when the event is set first; the work is cancelled then."""
    try:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work)
            watching = tasks.create_task(event.wait())
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            working.cancel()  # does nothing to work that is done
    except BaseExceptionGroup as group:
        raise decisive_error(group) from None
    return None if working.cancelled() else working.result()


def decisive_error(group: BaseExceptionGroup[BaseException], first: type[BaseException] = Exception) -> BaseException:
    """The one error of a group that tells what happened: one of class `first` if there is any, else the earliest."""
    errors = list(_flat(group))
    return next((error for error in errors if isinstance(error, first)), errors[0])


def _flat(error: BaseException) -> Sequence[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [inner for member in error.exceptions for inner in _flat(member)]
    return [error]
