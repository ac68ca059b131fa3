"""Expiry of a result (behaviour I10): the record says so before an object goes, so no link ever leads to nothing."""

import pytest

from converto_core.conversion.record import Status
from converto_core.conversion.transitions import expire_result
from converto_core.errors import StoreUnavailable
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, OWNER, MemoryServers


@pytest.fixture
def servers() -> MemoryServers:
    return MemoryServers()


async def test_objects_stay_while_their_record_cannot_expire(servers: MemoryServers) -> None:
    record = await servers.add_completed()
    servers.passed_s += 7 * DAY_S + 1
    (removal,) = [one async for one in servers.sweeps.results.removals()]
    servers.stores.is_away = True
    with pytest.raises(StoreUnavailable):
        await removal.run()
    servers.stores.is_away = False

    assert (await servers.reload(record)).status is Status.COMPLETED
    assert len(await servers.objects.list_keys(f"t/{OWNER}/out/{record.id}/")) == 1


async def test_objects_stay_when_the_record_has_changed_since(servers: MemoryServers) -> None:
    """Another process was faster, and what follows from that is its affair."""
    record = await servers.add_completed()
    servers.passed_s += 7 * DAY_S + 1
    (removal,) = [one async for one in servers.sweeps.results.removals()]
    await servers.stores.conversions.apply(expire_result(record, now_ms=servers.now_ms()))

    assert await removal.run() == 0
    assert len(await servers.objects.list_keys(f"t/{OWNER}/out/{record.id}/")) == 1
