"""Run many small jobs, a few at a time; the first failure stops the rest and is raised as itself, not as a group."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Entry = TypeVar("Entry")


async def for_each(entries: Iterable[Entry], work: Callable[[Entry], Awaitable[None]], *, at_once: int) -> None:
    """Call `work` for every entry, at most `at_once` at the same time, started in the order given."""
    waiting = iter(list(entries))

    async def lane() -> None:
        for entry in waiting:
            await work(entry)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(lane())
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
