"""Coroutines that run side by side under one owner and raise one plain error instead of an exception group."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

Answer = TypeVar("Answer")
Work = Callable[[], Coroutine[Any, Any, Answer]]


async def all_of(works: Sequence[Work[Answer]], *, at_once: int) -> list[Answer]:
    """Run all works, at most `at_once` at a time; return their answers in order. The first error cancels the rest."""
    limit = asyncio.Semaphore(at_once)

    async def limited(work: Work[Answer]) -> Answer:
        async with limit:
            return await work()

    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(limited(work)) for work in works]
    except BaseExceptionGroup as group:
        raise decisive_error(group) from None
    return [task.result() for task in running]


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, Answer]) -> Answer | None:
    """Return the answer of `work`; cancel it and return None when `event` is set first."""
    try:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work)
            watching = tasks.create_task(event.wait())
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            working.cancel()  # no effect on a task that is done
    except BaseExceptionGroup as group:
        raise decisive_error(group) from None
    return None if working.cancelled() else working.result()


def decisive_error(group: BaseExceptionGroup[BaseException], first: type[BaseException] = Exception) -> BaseException:
    """Return the one error of a group to report: the earliest of class `first`, else the earliest."""
    errors = list(_flat(group))
    return next((error for error in errors if isinstance(error, first)), errors[0])


def _flat(error: BaseException) -> Sequence[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [inner for member in error.exceptions for inner in _flat(member)]
    return [error]
