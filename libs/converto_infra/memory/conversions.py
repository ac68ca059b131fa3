"""In-memory twin of `ConversionStore`."""

from collections import Counter
from collections.abc import Iterable, Sequence

from converto_core.conversion.change import Change
from converto_core.conversion.history import entry_of
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.formats import Family
from converto_core.ports.stores import ConversionFilter, HistoryStore
from converto_infra.memory.collection import Collection, MemoryServer, owned


class MemoryConversionStore:
    """Twin of `ConversionStore`."""

    def __init__(self, server: MemoryServer, history: HistoryStore) -> None:
        """`history` records each change that has an event."""
        self._server, self._history = server, history
        self._conversions = Collection(Conversion)

    async def insert(self, conversion: Conversion) -> None:
        """Store a new record; raises `DuplicateKey`."""
        await self._server.answer()
        self._conversions.insert(conversion)

    async def get(self, conversion_id: str, *, owner: str | None = None) -> Conversion | None:
        """The record, or None when it does not exist or belongs to another owner."""
        await self._server.answer()
        return self._conversions.get(conversion_id, owned(owner))

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Matching conversions, newest first, at most `query.limit`."""
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
        after = self._conversions.assign(change.id, {**change.assign, "status": change.to})
        if change.event is not None:
            self._history.record(entry_of(after))
        return after

    async def due(self, *, now_ms: int, limit: int) -> list[Conversion]:
        """Pending conversions whose `publish_due` has passed, longest overdue first."""
        await self._server.answer()
        found = self._conversions.select(lambda one: one.status is Status.PENDING and _due(one) <= now_ms)
        return sorted(found, key=_due)[:limit]

    async def due_after(self, after_ms: int, *, published: int | None = None, limit: int) -> list[Conversion]:
        """Pending conversions whose `publish_due` is later, with so many confirmed messages (None: any number)."""
        await self._server.answer()
        return self._conversions.select(
            lambda one: (
                one.status is Status.PENDING
                and (one.publish_due or 0) > after_ms
                and published in (None, one.published)
            )
        )[:limit]

    async def published(
        self,
        family: Family | None,
        lane: Lane | None,
        *,
        changed_before_ms: int,
        limit: int,
        changed_from_ms: int = 0,
    ) -> list[Conversion]:
        """Pending conversions of one queue (None: any) with a confirmed message, last changed within this period."""
        await self._server.answer()
        return self._conversions.select(
            lambda one: (
                one.status is Status.PENDING
                and family in (None, one.family)
                and lane in (None, one.lane)
                and one.published >= 1
                and changed_from_ms <= one.updated_at < changed_before_ms
            )
        )[:limit]

    async def processing(self, *, limit: int) -> list[Conversion]:
        """Conversions in status `processing`."""
        await self._server.answer()
        return self._conversions.select(lambda one: one.status is Status.PROCESSING)[:limit]

    async def awaiting_upload(
        self, *, created_before_ms: int, limit: int, created_from_ms: int = 0
    ) -> list[Conversion]:
        """Conversions in status `awaiting_upload` created within this period, oldest first."""
        await self._server.answer()
        found = self._conversions.select(
            lambda one: one.status is Status.AWAITING_UPLOAD and created_from_ms <= one.created_at < created_before_ms
        )
        return sorted(found, key=lambda one: one.created_at)[:limit]

    async def has_pending(self, owner: str, *, at_least: int) -> bool:
        """True when the owner has at least this many pending conversions."""
        await self._server.answer()
        waiting = self._conversions.select(lambda one: one.owner == owner and one.status is Status.PENDING)
        return len(waiting) >= at_least

    async def ended(
        self, status: Status, *, from_ms: int, before_ms: int, limit: int, error_code: str | None = None
    ) -> list[Conversion]:
        """Conversions of a terminal status whose `completed_at` is within this period, oldest first."""
        await self._server.answer()
        found = self._conversions.select(
            lambda one: (
                one.status is status
                and from_ms <= _completed_at(one) < before_ms
                and error_code in (None, one.error_code)
            )
        )
        return sorted(found, key=_completed_at)[:limit]

    async def get_many(self, conversion_ids: Sequence[str]) -> list[Conversion]:
        """The existing records among these ids."""
        await self._server.answer()
        return [found for one in set(conversion_ids) if (found := self._conversions.get(one)) is not None]

    async def count_by_file(self, file_ids: Sequence[str], statuses: Iterable[Status]) -> dict[str, int]:
        """How many conversions in these statuses each file has."""
        await self._server.answer()
        wanted, files = frozenset(statuses), frozenset(file_ids)
        found = self._conversions.select(lambda one: one.file_id in files and one.status in wanted)
        return dict(Counter(one.file_id for one in found))

    async def waiting_for(self, cache_key: str, *, after: str | None, limit: int) -> list[Conversion]:
        """Pending conversions that wait for the result of this cache key, oldest first."""
        await self._server.answer()
        found = self._conversions.select(
            lambda one: (
                one.status is Status.PENDING and one.waits_for == cache_key and (after is None or one.id > after)
            )
        )
        return sorted(found, key=lambda one: one.id)[:limit]

    async def delete_unchanged(self, conversion: Conversion) -> bool:
        """Delete a record in a terminal status unless it has changed since it was read."""
        await self._server.answer()
        seen = {"status": conversion.status, "token": conversion.token, "updated_at": conversion.updated_at}
        if not conversion.is_terminal or self._conversions.get(conversion.id, seen) is None:
            return False
        self._conversions.delete(conversion.id)
        return True

    async def count_by_status(self, *, owner: str | None = None) -> dict[Status, int]:
        """How many conversions each status has."""
        await self._server.answer()
        found = self._conversions.select(lambda one: owner is None or one.owner == owner)
        return dict(Counter(one.status for one in found))


def _due(conversion: Conversion) -> float:
    return float("inf") if conversion.publish_due is None else conversion.publish_due


def _completed_at(conversion: Conversion) -> float:
    return float("inf") if conversion.completed_at is None else conversion.completed_at
