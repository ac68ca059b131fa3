"""One queue that cannot be asked does not hide the lost messages of the others (C4)."""

import pytest

from converto_core.conversion.record import Lane
from converto_core.errors import BusUnavailable
from converto_core.formats import Family
from converto_infra.memory.stores import MemoryEventBus, MemoryStores
from file_service.delivery.lost_messages import LostMessages
from tests.contract.samples import a_pending_conversion


class BusWithABadQueue(MemoryEventBus):
    """Refuses every question about the queues of one family."""

    async def backlog(self, family: Family, lane: Lane) -> int:
        if family is Family.OFFICE:
            raise BusUnavailable(detail="RESOURCE_LOCKED")
        return await super().backlog(family, lane)


@pytest.fixture
async def stores() -> MemoryStores:
    """Two conversions whose messages are gone, one of them of the bad queue."""
    stores = MemoryStores()
    for family in (Family.OFFICE, Family.IMAGE):
        lost = a_pending_conversion(family=family, lane=Lane.NORMAL, published=1, publish_due=10**12, updated_at=0)
        await stores.conversions.insert(lost)
    return stores


async def test_bad_queue_does_not_hide_lost_messages_of_others(stores: MemoryStores) -> None:
    sweep = LostMessages(stores.conversions, BusWithABadQueue(), now_ms=lambda: 10_000)

    assert await sweep.sweep() == 1


async def test_sweep_ends_while_the_broker_is_away(stores: MemoryStores) -> None:
    bus = BusWithABadQueue()
    bus.is_away = True

    with pytest.raises(BusUnavailable):
        await LostMessages(stores.conversions, bus, now_ms=lambda: 10_000).sweep()
