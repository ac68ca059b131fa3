"""Reads records oldest first, a page at a time, however many there are and whether or not they go meanwhile."""

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
    """Pages of `read(from_ms, limit)`, which answers oldest first by `time_of`; each record comes once.

    The next page begins at the last time seen, because a place in a list would shift when records go. Records of one
    and the same millisecond may fill a page: then the page grows.
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
