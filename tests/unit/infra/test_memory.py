"""What the in-memory twins add to their ports: outages on demand, copies, expiry, and counts for tests."""

import asyncio

import pytest

from converto_core.conversion.record import Lane
from converto_core.errors import BusUnavailable, ObjectStoreUnavailable, StoreUnavailable
from converto_core.formats import Family
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores
from tests.contract.samples import a_conversion, a_file, a_message, an_event


async def test_unavailable_stores_return_with_their_records() -> None:
    stores = MemoryStores()
    kept = a_conversion()
    await stores.conversions.insert(kept)

    stores.is_away = True
    for call in (
        stores.ping(),
        stores.conversions.get(kept.id),
        stores.files.insert(a_file()),
        stores.workers.seen_since(0),
        stores.access.get_key("k"),
        stores.dead_letters.get("m"),
    ):
        with pytest.raises(StoreUnavailable):
            await call

    stores.is_away = False
    assert await stores.conversions.get(kept.id) == kept


async def test_stored_record_is_a_copy() -> None:
    stores = MemoryStores()
    mine = a_conversion(options={"quality": 1})
    await stores.conversions.insert(mine)

    mine.options["quality"] = 2

    stored = await stores.conversions.get(mine.id)
    assert stored is not None and stored.options == {"quality": 1}


async def test_unavailable_object_store_raises() -> None:
    objects = MemoryObjectStore()
    objects.is_away = True

    with pytest.raises(ObjectStoreUnavailable):
        await objects.head("x")


async def test_expired_or_foreign_presigned_requests_are_refused() -> None:
    objects = MemoryObjectStore(upload_ttl_s=-1)
    expired = await objects.presign_put("x", size_bytes=1, content_type="a/b", sha256=None)
    fresh = await MemoryObjectStore().presign_put("x", size_bytes=1, content_type="a/b", sha256=None)

    assert (await objects.send(expired, b"1")).status == 403
    assert (await objects.send(fresh, b"1")).status == 403  # signed by another store


async def test_put_with_another_sha256_is_refused() -> None:
    """M5: wrong checksum, no upload."""
    objects = MemoryObjectStore()
    request = await objects.presign_put("x", size_bytes=1, content_type="a/b", sha256="0" * 64)

    assert (await objects.send(request, b"1")).status == 400
    assert await objects.head("x") is None


async def test_unavailable_bus_refuses_messages_and_slots_resume_afterwards() -> None:
    bus = MemoryEventBus()
    await bus.publish(a_message("one"))
    bus.is_away = True

    with pytest.raises(BusUnavailable):
        await bus.publish(a_message("two"))
    await bus.publish_event(an_event("one"))
    async with bus.open_slot([Family.OFFICE]) as slot:
        waiting = asyncio.create_task(slot.next())
        done, _ = await asyncio.wait({waiting}, timeout=0.01)
        assert not done
        bus.is_away = False
        delivery = await asyncio.wait_for(waiting, 1)

    assert delivery.event.id == "one"


async def test_message_for_a_dropped_queue_is_refused() -> None:
    """C4: an unroutable event is noticed."""
    bus = MemoryEventBus()
    bus.drop_queue(Family.OFFICE, Lane.NORMAL)

    with pytest.raises(BusUnavailable):
        await bus.publish(a_message("one"))


async def test_purge_empties_the_queues() -> None:
    bus = MemoryEventBus()
    await bus.publish(a_message("one"))
    assert bus.waiting(Family.OFFICE, Lane.NORMAL) == 1

    bus.purge()

    assert bus.waiting(Family.OFFICE, Lane.NORMAL) == 0
