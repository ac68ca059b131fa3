"""What both twins of `CacheStore` promise (behaviour I8: at most one conversion makes a result at any time)."""

import asyncio
from typing import Any

import msgspec

from converto_core.conversion.cache_key import CacheEntry
from converto_core.ids import new_id
from converto_infra.memory.stores import MemoryStores
from converto_infra.mongo.stores import MongoStores
from tests.contract.samples import NOW_MS

Stores = MemoryStores | MongoStores


def an_entry(**fields: Any) -> CacheEntry:
    start: dict[str, Any] = {
        "id": new_id(),
        "conversion_id": new_id(),
        "token": 1,
        "owner": "ann",
        "created_at": NOW_MS,
    }
    return CacheEntry(**{**start, **fields})


async def test_entry_when_led_then_found_whole_and_unknown_keys_are_none(stores: Stores) -> None:
    entry = an_entry()

    assert await stores.cache.lead(entry)
    assert await stores.cache.get(entry.id) == entry
    assert await stores.cache.get("never was") is None


async def test_lead_when_twenty_want_it_at_once_then_one_gets_it(stores: Stores) -> None:
    wanted = [an_entry(id="the key") for _ in range(20)]

    got = await asyncio.gather(*(stores.cache.lead(entry) for entry in wanted))

    assert got.count(True) == 1
    assert await stores.cache.get("the key") == wanted[got.index(True)]


async def test_take_over_when_ten_want_it_at_once_then_one_gets_it(stores: Stores) -> None:
    known = an_entry()
    await stores.cache.lead(known)
    wanted = [an_entry(id=known.id, created_at=NOW_MS + 1) for _ in range(10)]

    got = await asyncio.gather(*(stores.cache.take_over(known, entry) for entry in wanted))

    assert got.count(True) == 1
    assert await stores.cache.get(known.id) == wanted[got.index(True)]


async def test_take_over_when_the_entry_is_another_one_by_now_or_gone_then_refused(stores: Stores) -> None:
    known = an_entry()
    mine = an_entry(id=known.id)
    assert not await stores.cache.take_over(known, mine)
    assert await stores.cache.get(known.id) is None

    await stores.cache.lead(known)
    for seen in (msgspec.structs.replace(known, token=2), msgspec.structs.replace(known, conversion_id="x")):
        assert not await stores.cache.take_over(seen, mine)

    assert await stores.cache.get(known.id) == known


async def test_forget_when_old_then_gone_and_younger_ones_stay(stores: Stores) -> None:
    """I10."""
    old, young = an_entry(created_at=NOW_MS - 1), an_entry()
    for entry in (old, young):
        await stores.cache.lead(entry)

    (aged,) = await stores.cache.old_entries.older_than(from_ms=0, before_ms=NOW_MS, limit=9)
    assert await stores.cache.old_entries.delete_older([aged.id], before_ms=NOW_MS) == 1
    assert await stores.cache.old_entries.older_than(from_ms=0, before_ms=NOW_MS, limit=9) == []
    assert await stores.cache.get(old.id) is None
    assert await stores.cache.get(young.id) == young
