"""Reads that go on until a generous deadline: a slow server on a busy machine must not cost the ledger."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 180.0
ONE_TRY_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 3.0


class NotAnswered(Exception):
    """A read failed until its deadline."""


async def until_answered(what: str, read: Callable[[], Awaitable[T]], *, within_s: float = WITHIN_S) -> T:
    """Return what `read` returns, repeating it whatever it raises; raises `NotAnswered` when time is up.

    `read` opens a connection of its own, so that a broken one costs one try only.
    """
    ends_s, pause_s = time.monotonic() + within_s, FIRST_PAUSE_S
    while True:
        try:
            async with asyncio.timeout(min(ONE_TRY_S, within_s)):
                return await read()
        except Exception as error:
            if time.monotonic() + pause_s > ends_s:
                raise NotAnswered(f"{what}: no answer within {within_s:g} s, at last {error!r}") from error
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
