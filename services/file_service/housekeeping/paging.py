"""Reads any number of records oldest first, a page at a time, even if records are removed meanwhile."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from file_service.housekeeping.retention.removal import BATCH


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


Record = TypeVar("Record", bound=_Identified)


async def pages(
    read: Callable[[int, int], Awaitable[list[Record]]], time_of: Callable[[Record], int | None]
) -> AsyncIterator[list[Record]]:
    """Yield pages of `read(from_ms, limit)`, which returns records oldest first by `time_of`; each record comes once.

    The next page starts at the last time seen, because an offset would shift when records are removed. If records of
    the same millisecond fill a page, the page size is doubled.
    """
    from_ms, limit, seen = 0, BATCH, set[str]()
    while found := await read(from_ms, limit):
        fresh = [record for record in found if record.id not in seen]
        if fresh:
            yield fresh
        if len(found) < limit:
            return
        last_ms = time_of(found[-1]) or 0
        limit = 2 * limit if last_ms == from_ms else BATCH
        from_ms, seen = last_ms, {record.id for record in found if time_of(record) == last_ms}
