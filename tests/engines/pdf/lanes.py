"""Runs many files through converters in parallel, one file per converter at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

_Converter = TypeVar("_Converter")


async def convert_each(
    sources: Iterable[Path],
    converters: Sequence[_Converter],
    convert: Callable[[_Converter, Path], Awaitable[None]],
) -> None:
    """Call `convert` for every source; each converter takes the next source when it is free."""
    pending = sorted(sources, reverse=True)

    async def lane(converter: _Converter) -> None:
        while pending:
            await convert(converter, pending.pop())

    async with asyncio.TaskGroup() as group:
        for converter in converters:
            group.create_task(lane(converter))
