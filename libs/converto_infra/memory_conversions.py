"""In-memory twin of `ConversionStore`."""

from converto_core.changes import Change
from converto_core.conversion import TERMINAL, Conversion, Status
from converto_core.ports import ConversionFilter
from converto_infra.memory_collection import Collection, MemoryServer, owned


class MemoryConversionStore:
    """Twin of `ConversionStore`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._conversions = Collection(Conversion)

    async def insert(self, conversion: Conversion) -> None:
        """Store a new record; raises `DuplicateKey`."""
        await self._server.answer()
        self._conversions.insert(conversion)

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it is not there or not this owner's."""
        await self._server.answer()
        return self._conversions.get(conversion_id, owned(owner))

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Newest first, at most `query.limit`."""
        await self._server.answer()
        names = ("owner", "client_id", "file_id", "source_format", "target_format")
        equal = {name: value for name in names if (value := getattr(query, name))}
        found = self._conversions.select(
            lambda one: (
                all(getattr(one, name) == value for name, value in equal.items())
                and (not query.statuses or one.status in query.statuses)
                and (query.after is None or one.id < query.after)
            )
        )
        return sorted(found, key=lambda one: one.id, reverse=True)[: query.limit]

    async def apply(self, change: Change) -> Conversion | None:
        """Apply one conditional update; the record after it, or None when a condition did not hold."""
        await self._server.answer()
        before = self._conversions.get(change.id, change.where)
        if before is None or before.status not in change.expected:
            return None
        self._conversions.increase(change.id, change.increase)
        self._conversions.raise_to(change.id, change.raise_to)
        return self._conversions.assign(change.id, {**change.assign, "status": change.to})

    async def due(self, *, now_ms: int, limit: int) -> list[Conversion]:
        """Pending conversions whose wake-up is due, longest due first."""
        await self._server.answer()
        found = self._conversions.select(lambda one: one.status is Status.PENDING and _due(one) <= now_ms)
        return sorted(found, key=_due)[:limit]

    async def processing(self, *, limit: int) -> list[Conversion]:
        """Conversions being processed."""
        await self._server.answer()
        return self._conversions.select(lambda one: one.status is Status.PROCESSING)[:limit]

    async def awaiting_upload(self, *, created_before_ms: int, limit: int) -> list[Conversion]:
        """Conversions without bytes created before the given time, oldest first."""
        await self._server.answer()
        found = self._conversions.select(
            lambda one: one.status is Status.AWAITING_UPLOAD and one.created_at < created_before_ms
        )
        return sorted(found, key=lambda one: one.created_at)[:limit]

    async def waiting_for(self, cache_key: str, *, after: str | None, limit: int) -> list[Conversion]:
        """Pending conversions that wait for the result of this key, oldest first."""
        await self._server.answer()
        found = self._conversions.select(
            lambda one: (
                one.status is Status.PENDING and one.waits_for == cache_key and (after is None or one.id > after)
            )
        )
        return sorted(found, key=lambda one: one.id)[:limit]

    async def delete(self, conversion_id: str, *, owner: str) -> bool:
        """Remove a record in a terminal status."""
        await self._server.answer()
        found = self._conversions.get(conversion_id, {"owner": owner})
        if found is None or found.status not in TERMINAL:
            return False
        self._conversions.delete(conversion_id)
        return True

    async def count_by_status(self, *, owner: str | None = None) -> dict[Status, int]:
        """How many conversions are in each status."""
        await self._server.answer()
        counts: dict[Status, int] = {}
        for one in self._conversions.select(lambda one: owner is None or one.owner == owner):
            counts[one.status] = counts.get(one.status, 0) + 1
        return counts


def _due(conversion: Conversion) -> float:
    return float("inf") if conversion.publish_due is None else conversion.publish_due
