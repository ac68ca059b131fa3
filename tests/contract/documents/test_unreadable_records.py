"""One record that this version cannot read hides no other, whoever reads: sweeps, workers, users' lists (I3, C8)."""

from contextlib import suppress
from typing import Any

import pytest

from converto_core.catalogue import Worker
from converto_core.conversion.processing import beat
from converto_core.conversion.record import Conversion, Status
from converto_core.errors import RecordUnreadable
from converto_core.ports.stores import ConversionFilter
from converto_infra.memory.stores import MemoryStores
from converto_infra.mongo.stores import MongoStores
from converto_infra.unreadable import KEPT_S, UnreadableRecords
from tests.contract.samples import NOW_MS, a_file, a_pending_conversion, a_running_conversion

Stores = MemoryStores | MongoStores
OWNER = "anna"
WRONG_TYPE: dict[str, Any] = {"attempt": "many"}
NEWER_VALUE: dict[str, Any] = {"lane": "a lane of a newer version"}


async def spoil(collection: Any, record_id: str, values: dict[str, Any]) -> None:
    """Write fields that this version cannot read."""
    if hasattr(collection, "spoil"):
        collection.spoil(record_id, values)
        return
    with suppress(RecordUnreadable):
        await collection.update({"_id": record_id}, {"$set": values})


async def add(stores: Stores, count: int, **fields: Any) -> list[Conversion]:
    make = a_running_conversion if fields.get("status") is Status.PROCESSING else a_pending_conversion
    records = [make(**fields) for _ in range(count)]
    for record in records:
        await stores.conversions.insert(record)
    return sorted(records, key=lambda one: one.id)


def a_worker(worker_id: str) -> Worker:
    return Worker(id=worker_id, host="h", pid=1, started_at=0, seen_at=NOW_MS, slots=2, sandbox="off", offers=())


def ids(records: list[Conversion]) -> set[str]:
    return {one.id for one in records}


@pytest.mark.parametrize("values", [WRONG_TYPE, NEWER_VALUE])
async def test_running_conversions_are_found_beside_it(stores: Stores, values: dict[str, Any]) -> None:
    bad, *good = await add(stores, 4, status=Status.PROCESSING)
    await spoil(stores.conversions._conversions, bad.id, values)

    assert ids(await stores.conversions.processing(limit=100)) == ids(good)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_due_messages_are_found_behind_it(stores: Stores, limit: int) -> None:
    """The unreadable ones are overdue the longest; a short page would be taken for the last one."""
    bad = await add(stores, 5, publish_due=1)
    good = await add(stores, 3, publish_due=2)
    for one in bad:
        await spoil(stores.conversions._conversions, one.id, WRONG_TYPE)
    found = await stores.conversions.due(now_ms=NOW_MS, limit=limit)

    assert len(found) == min(limit, 3)
    assert ids(found) <= ids(good)


async def test_list_of_its_owner_goes_on(stores: Stores) -> None:
    records = await add(stores, 5, owner=OWNER)
    await spoil(stores.conversions._conversions, records[3].id, WRONG_TYPE)
    first = await stores.conversions.find(ConversionFilter(owner=OWNER, limit=2))
    second = await stores.conversions.find(ConversionFilter(owner=OWNER, limit=2, after=first[-1].id))

    assert [one.id for one in (*first, *second)] == [records[number].id for number in (4, 2, 1, 0)]


async def test_asking_for_it_names_the_record(stores: Stores) -> None:
    (bad,) = await add(stores, 1)
    await spoil(stores.conversions._conversions, bad.id, WRONG_TYPE)
    with pytest.raises(RecordUnreadable) as caught:
        await stores.conversions.get(bad.id)

    assert bad.id in caught.value.detail and "attempt" in caught.value.detail


async def test_update_of_another_record_is_not_disturbed(stores: Stores) -> None:
    bad, good = await add(stores, 2, status=Status.PROCESSING)
    await spoil(stores.conversions._conversions, bad.id, WRONG_TYPE)
    after = await stores.conversions.apply(beat(good.id, token=good.token, now_ms=NOW_MS))

    assert after is not None and after.beat == good.beat + 1


async def test_counts_leave_out_unknown_states(stores: Stores) -> None:
    bad, _ = await add(stores, 2)
    await spoil(stores.conversions._conversions, bad.id, {"status": "a status of a newer version"})

    assert await stores.conversions.count_by_status() == {Status.PENDING: 1}


async def test_files_and_workers_are_found_beside_it(stores: Stores) -> None:
    files, workers = [a_file(owner=OWNER) for _ in range(2)], [a_worker(name) for name in ("one", "two")]
    for file, worker in zip(files, workers, strict=True):
        await stores.files.insert(file)
        await stores.workers.put(worker)
    await spoil(stores.files._files, files[0].id, {"size_bytes": "large"})
    await spoil(stores.workers._workers, "one", {"slots": "many"})

    assert [one.id for one in await stores.files.find(owner=OWNER, after=None, limit=10)] == [files[1].id]
    assert [one.id for one in await stores.workers.seen_since(0)] == ["two"]


async def test_health_names_the_records_until_they_are_read(stores: Stores) -> None:
    if isinstance(stores, MemoryStores):
        pytest.skip("the twin has no health")
    bad, _ = await add(stores, 2)
    await spoil(stores.conversions._conversions, bad.id, WRONG_TYPE)
    await stores.conversions.due(now_ms=NOW_MS, limit=10)
    named = stores.faults
    await spoil(stores.conversions._conversions, bad.id, {"attempt": 0})
    await stores.conversions.due(now_ms=NOW_MS, limit=10)

    assert len(named) == 1 and bad.id in named[0] and "1 conversion record(s)" in named[0]
    assert stores.faults == ()


def test_faults_forget_what_nobody_meets_any_more() -> None:
    now_s = 0.0
    unreadable = UnreadableRecords(lambda: now_s)
    for number in range(5):
        unreadable.add("conversion", f"c{number}", "Expected `int`")
    unreadable.add("file", "f1", "Expected `int`")
    first = unreadable.faults
    now_s = KEPT_S + 1

    assert [text.split(":")[0] for text in first] == [
        "5 conversion record(s) cannot be read and are skipped",
        "1 file record(s) cannot be read and are skipped",
    ]
    assert "c0, c1, c2 …" in first[0]
    assert unreadable.faults == ()
