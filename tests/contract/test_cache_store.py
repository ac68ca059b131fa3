"""The contract of `CacheStore` (behaviour I8: at most one conversion makes a result at any time)."""

import asyncio
from typing import Any

import msgspec

from converto_core.conversion.cache_key import CacheEntry
from converto_core.ids import new_id
from tests.contract.samples import NOW_MS, Stores


def an_entry(**fields: Any) -> CacheEntry:
    start: dict[str, Any] = {
        "id": new_id(),
        "conversion_id": new_id(),
        "token": 1,
        "owner": "ann",
        "created_at": NOW_MS,
    }
    return CacheEntry(**{**start, **fields})


async def test_lead_stores_the_entry(stores: Stores) -> None:
    entry = an_entry()

    assert await stores.cache.lead(entry)
    assert await stores.cache.get(entry.id) == entry
    assert await stores.cache.get("never was") is None


async def test_only_one_of_twenty_concurrent_leads_succeeds(stores: Stores) -> None:
    wanted = [an_entry(id="the key") for _ in range(20)]

    got = await asyncio.gather(*(stores.cache.lead(entry) for entry in wanted))

    assert got.count(True) == 1
    assert await stores.cache.get("the key") == wanted[got.index(True)]


async def test_only_one_of_ten_concurrent_takeovers_succeeds(stores: Stores) -> None:
    known = an_entry()
    await stores.cache.lead(known)
    wanted = [an_entry(id=known.id, created_at=NOW_MS + 1) for _ in range(10)]

    got = await asyncio.gather(*(stores.cache.take_over(known, entry) for entry in wanted))

    assert got.count(True) == 1
    assert await stores.cache.get(known.id) == wanted[got.index(True)]


async def test_takeover_of_a_changed_or_missing_entry_is_refused(stores: Stores) -> None:
    known = an_entry()
    mine = an_entry(id=known.id)
    assert not await stores.cache.take_over(known, mine)
    assert await stores.cache.get(known.id) is None

    await stores.cache.lead(known)
    for seen in (msgspec.structs.replace(known, token=2), msgspec.structs.replace(known, conversion_id="x")):
        assert not await stores.cache.take_over(seen, mine)

    assert await stores.cache.get(known.id) == known


async def test_old_entries_are_deleted_and_young_ones_stay(stores: Stores) -> None:
    """I10."""
    old, young = an_entry(created_at=NOW_MS - 1), an_entry()
    for entry in (old, young):
        await stores.cache.lead(entry)

    (aged,) = await stores.cache.old_entries.older_than(from_ms=0, before_ms=NOW_MS, limit=9)
    assert await stores.cache.old_entries.delete_older([aged.id], before_ms=NOW_MS) == 1
    assert await stores.cache.old_entries.older_than(from_ms=0, before_ms=NOW_MS, limit=9) == []
    assert await stores.cache.get(old.id) is None
    assert await stores.cache.get(young.id) == young
