"""Removes records by age alone: idempotent answers, history, cache entries."""

from collections.abc import AsyncIterator
from functools import partial

from converto_core.ports.stores import AgedRecord, AgedRecords
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.removal import Kind, Removal, Removed, duration_text


class Aged:
    """Old records of one store."""

    def __init__(self, records: AgedRecords, kind: Kind, *, retention_s: float) -> None:
        """`retention_s` counts from the time that the store compares."""
        self._records = records
        self._kind = kind
        self._retention_s = retention_s

    async def removals(self, now_ms: int) -> AsyncIterator[Removal]:
        """Yield one removal per batch, oldest first."""
        before_ms = now_ms - int(self._retention_s * 1000)
        reason = f"older than {duration_text(self._retention_s)}" if self._retention_s else "expired"

        async def read(from_ms: int, limit: int) -> list[AgedRecord]:
            return await self._records.older_than(from_ms=from_ms, before_ms=before_ms, limit=limit)

        async for page in pages(read, lambda one: one.since):
            removed = [Removed(kind=self._kind, id=one.id, since_ms=one.since, reason=reason) for one in page]
            delete = partial(self._records.delete_older, [one.id for one in page], before_ms=before_ms)
            yield Removal(tuple(removed), delete)
