"""Runs coroutines with limited concurrency; the first failure cancels the rest and is raised without its group."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Entry = TypeVar("Entry")


async def for_each(entries: Iterable[Entry], call: Callable[[Entry], Awaitable[None]], *, limit: int) -> None:
    """Await `call(entry)` for every entry, in the given order, at most `limit` at the same time."""
    waiting = iter(list(entries))

    async def run_next() -> None:
        for entry in waiting:
            await call(entry)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(run_next())
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
