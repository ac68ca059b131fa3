"""Coroutines that run side by side under one owner and raise one plain error instead of an exception group."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")
Work = Callable[[], Coroutine[Any, Any, Answer]]


async def all_of(works: Sequence[Work[Answer]], *, at_once: int) -> list[Answer]:
    """Run all works, at most `at_once` at a time; return their answers in order. The first error cancels the rest."""
    limit = asyncio.Semaphore(at_once)

    async def limited(work: Work[Answer]) -> Answer:
        async with limit:
            return await work()

    async with side_by_side() as tasks:
        running = [tasks.create_task(limited(work)) for work in works]
    return [task.result() for task in running]


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, Answer]) -> Answer | None:
    """Return the answer of `work`; cancel it and return None when `event` is set first."""
    async with side_by_side() as tasks:
        working = tasks.create_task(work)
        watching = tasks.create_task(event.wait())
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        working.cancel()  # no effect on a task that is done
    return None if working.cancelled() else working.result()


class SideBySide(asyncio.TaskGroup):
    """A task group that knows its tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[asyncio.Task[Any]] = []

    def create_task(self, work: Coroutine[Any, Any, Answer], *, name: str | None = None) -> asyncio.Task[Answer]:  # type: ignore[override]
        """Start a coroutine as a task of the group."""
        task = super().create_task(work, name=name)
        self.started.append(task)
        return task


@asynccontextmanager
async def side_by_side(first: type[BaseException] = Exception) -> AsyncIterator[SideBySide]:
    """A task group that raises one plain error: the earliest of class `first`, else the earliest.

    A cancellation from outside wins over all errors. A task group drops it when one of its tasks fails at the same
    time or while it cleans up (until Python 3.13), and whoever goes on after an error would never end.
    """
    owner = asyncio.current_task()
    cancels_before = owner.cancelling() if owner else 0
    try:
        async with SideBySide() as tasks:
            yield tasks
            # Python 3.11 never takes back the cancellation by which it ends its own wait for the tasks, so none may
            # fail in there.
            if tasks.started:
                await asyncio.wait(tasks.started)
    except BaseExceptionGroup as group:
        if owner and owner.cancelling() > cancels_before:
            raise asyncio.CancelledError from group
        raise _decisive_error(group, first) from None


def _decisive_error(group: BaseExceptionGroup[BaseException], first: type[BaseException]) -> BaseException:
    errors = list(_flat(group))
    return next((error for error in errors if isinstance(error, first)), errors[0])


def _flat(error: BaseException) -> Sequence[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [inner for member in error.exceptions for inner in _flat(member)]
    return [error]
