"""The contract of `HistoryStore`, and the entries that conversion stores record."""

import asyncio
from collections.abc import Callable

from converto_core.conversion import processing
from converto_core.conversion.history import Entry, entry_of, history_of
from converto_core.conversion.record import Conversion, HistoryEvent
from converto_infra.mongo.history import BATCH
from tests.contract.samples import NOW_MS, OUTPUT, Stores, a_pending_conversion


async def entries(stores: Stores, conversion_id: str, wanted: Callable[[list[Entry]], bool]) -> list[Entry]:
    """Wait until the entries satisfy the condition: they are written after the change, not with it."""
    async with asyncio.timeout(10):
        while not wanted(found := await stores.history.of(conversion_id, owner="ann")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def test_history_has_each_event_once_in_order(stores: Stores) -> None:
    before = a_pending_conversion()
    await stores.conversions.insert(before)
    await stores.conversions.apply(processing.claim(before.id, token=0, worker="w1", now_ms=NOW_MS + 1))
    await stores.conversions.apply(processing.beat(before.id, token=1, now_ms=NOW_MS + 2, percent=50))
    running = await stores.conversions.get(before.id)
    assert running is not None
    done = await stores.conversions.apply(
        processing.complete(running, outputs=(OUTPUT,), engine_versions={}, now_ms=NOW_MS + 3)
    )
    assert done is not None
    written = await entries(stores, before.id, lambda found: len(found) == 2)
    history = history_of(done, written)

    assert [entry.event for entry in history.entries] == ["created", "started", "completed"]
    assert [entry.number for entry in history.entries] == [1, 2, 3]
    assert history.entries[1].worker == "w1"
    assert history.missing == 0


async def test_refused_change_leaves_no_entry(stores: Stores) -> None:
    before = a_pending_conversion()
    await stores.conversions.insert(before)

    assert await stores.conversions.apply(processing.claim(before.id, token=7, worker="w1", now_ms=NOW_MS)) is None
    await stores.conversions.apply(processing.claim(before.id, token=0, worker="w2", now_ms=NOW_MS))
    found = await entries(stores, before.id, bool)

    assert [entry.worker for entry in found] == ["w2"]


async def test_history_is_hidden_from_other_owners(stores: Stores) -> None:
    before = a_pending_conversion()
    stores.history.record(entry_of(before))
    await entries(stores, before.id, bool)

    assert await stores.history.of(before.id, owner="bob") == []


async def test_entry_recorded_twice_is_stored_once(stores: Stores) -> None:
    before, other = a_pending_conversion(), a_pending_conversion()
    for entry in (entry_of(before), entry_of(before), entry_of(other)):
        stores.history.record(entry)
    await entries(stores, other.id, bool)

    assert len(await stores.history.of(before.id, owner="ann")) == 1


async def test_more_entries_than_a_batch_are_all_written(stores: Stores) -> None:
    before = a_pending_conversion()
    for number in range(1, BATCH + 52):
        stores.history.record(entry_of(changes_numbered(before.id, number)))

    assert len(await entries(stores, before.id, lambda found: len(found) == BATCH + 51)) == BATCH + 51


async def test_old_entries_are_deleted_in_batches_oldest_first(stores: Stores) -> None:
    """I10: old history is deleted."""
    old = [a_pending_conversion(updated_at=NOW_MS - number) for number in (3, 2, 1)]
    kept = a_pending_conversion(updated_at=NOW_MS)
    for one in (*old, kept):
        stores.history.record(entry_of(one))
    await entries(stores, kept.id, bool)

    batch = await stores.history.old_entries.older_than(from_ms=0, before_ms=NOW_MS, limit=2)
    assert [entry.since for entry in batch] == [NOW_MS - 3, NOW_MS - 2]
    assert await stores.history.old_entries.delete_older([entry.id for entry in batch], before_ms=NOW_MS) == 2
    assert len(await stores.history.of(old[2].id, owner="ann")) == 1
    (last,) = await stores.history.old_entries.older_than(from_ms=0, before_ms=NOW_MS, limit=2)
    assert await stores.history.old_entries.delete_older([last.id], before_ms=NOW_MS) == 1
    assert len(await stores.history.of(kept.id, owner="ann")) == 1


def test_missing_entry_is_counted_as_a_gap() -> None:
    now = a_pending_conversion(changes=5, last_event=HistoryEvent.WORKER_LOST)
    written = [entry_of(changes_numbered(now.id, 2)), entry_of(changes_numbered(now.id, 3))]
    history = history_of(now, written)

    assert [entry.number for entry in history.entries] == [1, 2, 3, 5]
    assert history.missing == 1
    assert history.entries[-1].event is HistoryEvent.WORKER_LOST


def changes_numbered(conversion_id: str, number: int) -> Conversion:
    return a_pending_conversion(id=conversion_id, changes=number)
