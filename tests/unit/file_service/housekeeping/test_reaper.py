"""The reaper with memory adapters: whom it reaps, when, what it publishes, and when it wants to run again.

How long a user waits is measured in `tests/unit/file_service/housekeeping/test_recovery_time.py`.
"""

from typing import Any

import pytest

from converto_core.conversion.processing import beat, claim
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.conversion.transitions import request_cancel
from converto_infra.memory.conversions import MemoryConversionStore
from file_service.housekeeping.schedule import SHORTEST_PAUSE_S, pause_s
from file_service.housekeeping.sweeps import Sweep
from tests.unit.file_service.housekeeping.memory_servers import OWNER, SETTINGS, MemoryServers


@pytest.fixture
def servers() -> MemoryServers:
    return MemoryServers()


# Whom it reaps


async def test_missing_heartbeat_for_a_lease_moves_to_high_lane(
    servers: MemoryServers,
) -> None:
    """Promise 3: a dead worker's conversion runs again; the attempt is not charged."""
    record = await servers.add(Status.PENDING, publish_due=servers.now_ms())
    await servers.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=servers.now_ms()))
    reaped = []
    for _ in range(21):
        reaped.append(await servers.sweeps.reaper.sweep())
        servers.passed_s += 1
    after = await servers.reload(record)

    assert reaped == [0] * 20 + [1]
    assert (after.status, after.lane, after.lost, after.attempt) == (Status.PENDING, Lane.HIGH, 1, 0)
    assert after.publish_due is not None


async def test_reaper_when_the_worker_beats_then_it_is_left_alone(servers: MemoryServers) -> None:
    record = await servers.add(Status.PROCESSING, token=1, beat=1, worker="w")
    for second in range(60):
        if second % 15 == 0:
            await servers.stores.conversions.apply(beat(record.id, token=1, now_ms=servers.now_ms()))
        assert await servers.sweeps.reaper.sweep() == 0
        servers.passed_s += 1


async def test_new_reaper_watches_a_whole_lease_first(servers: MemoryServers) -> None:
    await servers.add(Status.PROCESSING, token=1, beat=1, started_at=servers.now_ms() - 10_000_000)

    assert await servers.another_process().reaper.sweep() == 0


async def test_missing_heartbeats_during_a_database_outage_are_ignored(servers: MemoryServers) -> None:
    """Workers could not send heartbeats either, so the outage itself reaps nothing."""
    record = await servers.add(Status.PROCESSING, token=1, beat=1)
    await servers.sweeps.reaper.sweep()
    servers.stores.is_away = True
    for _ in range(30):
        servers.passed_s += 1
        await servers.sweeps.run_once()
    servers.stores.is_away = False
    first = await servers.sweeps.reaper.sweep()
    for _ in range(20):
        servers.passed_s += 1
        await servers.sweeps.reaper.sweep()

    assert first == 0
    assert (await servers.reload(record)).status is Status.PENDING


async def test_reapers_when_two_run_then_one_loss_is_counted(servers: MemoryServers) -> None:
    record = await servers.add(Status.PROCESSING, token=1, beat=1)
    both = (servers.sweeps.reaper, servers.another_process().reaper)
    reaped = 0
    for _ in range(25):
        reaped += sum([await reaper.sweep() for reaper in both])
        servers.passed_s += 1

    assert reaped == 1
    assert (await servers.reload(record)).lost == 1


async def test_second_vanished_worker_moves_to_quarantine(
    servers: MemoryServers,
) -> None:
    """Promise 3: a poison file blocks nothing."""
    record = await servers.add(Status.PROCESSING, token=2, beat=9, lost=1, lane=Lane.HIGH)
    await reap(servers)
    await servers.sweeps.outbox.sweep()

    assert (await servers.reload(record)).lane is Lane.QUARANTINE
    assert servers.waiting(Lane.QUARANTINE) == 1


async def test_fifth_vanished_worker_fails_the_conversion(servers: MemoryServers) -> None:
    record = await servers.add(Status.PROCESSING, token=5, beat=9, lost=4, lane=Lane.QUARANTINE, worker="w")
    await reap(servers)
    after = await servers.reload(record)

    assert (after.status, after.error_code) == (Status.FAILED, "worker_lost")
    assert after.errors[-1].worker == "w"
    assert "5 times" in (after.error_message or "")


async def test_reaped_conversion_with_cancel_request_is_cancelled(servers: MemoryServers) -> None:
    record = await servers.add(Status.PROCESSING, token=1, beat=1)
    await servers.stores.conversions.apply(request_cancel(record.id, owner=OWNER, now_ms=servers.now_ms()))
    await reap(servers)
    after = await servers.reload(record)

    assert (after.status, after.lost, after.publish_due) == (Status.CANCELLED, 0, None)  # never pending on its way


async def test_reaper_when_it_reaps_then_listeners_are_told(servers: MemoryServers) -> None:
    record = await servers.add(Status.PROCESSING, token=1, beat=1)
    async with servers.bus.subscribe() as events:
        await reap(servers)
        event = await anext(aiter(events))

    assert (event.id, event.status) == (record.id, Status.PENDING)


class BeatsAfterRead(MemoryConversionStore):
    """The store under a worker that is late: its beat arrives between the reaper's read and the reaper's update."""

    is_late = False

    async def processing(self, *, limit: int) -> list[Conversion]:
        found = await super().processing(limit=limit)
        for one in found if self.is_late else ():
            await self.apply(beat(one.id, token=one.token, now_ms=0))
        return found


@pytest.mark.parametrize("fields", [{}, {"lost": 1}, {"lost": 4}, {"cancel_requested": True}])
async def test_beat_at_the_last_moment_saves_the_conversion(servers: MemoryServers, fields: dict[str, Any]) -> None:
    """Whether it would have run again, failed, or been cancelled."""
    conversions = servers.stores.conversions = BeatsAfterRead(servers.stores, servers.stores.history)
    record = await servers.add(Status.PROCESSING, token=1, beat=1, **fields)
    reaper = servers.another_process().reaper
    await reaper.sweep()
    for servers.passed_s in range(1, 21):
        conversions.is_late = servers.passed_s == SETTINGS.lease_s
        await reaper.sweep()

    assert (await servers.reload(record)).status is Status.PROCESSING


# Publishing what runs again


async def test_reaped_conversion_is_published_at_once(servers: MemoryServers) -> None:
    """The outbox, whose next run may be a whole interval away, finds nothing left to send."""
    record = await servers.add(Status.PROCESSING, token=1, beat=1)
    await reap(servers)
    after = await servers.reload(record)

    assert servers.waiting(Lane.HIGH) == 1
    assert (after.published, await servers.sweeps.outbox.sweep()) == (1, 0)


async def test_absent_broker_does_not_keep_the_reaper_from_its_work(servers: MemoryServers) -> None:
    """The outbox publishes what the reaper could not."""
    records = [await servers.add(Status.PROCESSING, token=1, beat=1) for _ in range(3)]
    servers.bus.is_away = True
    await reap(servers)
    servers.bus.is_away = False

    assert [(await servers.reload(record)).status for record in records] == [Status.PENDING] * 3
    assert servers.waiting(Lane.HIGH) == 0
    assert await servers.sweeps.outbox.sweep() == 3


async def test_failed_conversion_gets_no_message(servers: MemoryServers) -> None:
    await servers.add(Status.PROCESSING, token=5, beat=9, lost=4)
    await reap(servers)

    assert [servers.waiting(lane) for lane in Lane] == [0] * len(Lane)


# When it runs again


async def test_reaper_wakes_at_the_end_of_the_first_lease(servers: MemoryServers) -> None:
    idle = servers.sweeps.reaper.next_in_s()
    await servers.add(Status.PROCESSING, token=1, beat=1)
    await servers.sweeps.reaper.sweep()
    servers.passed_s += 0.75
    await servers.add(Status.PROCESSING, token=1, beat=1)
    await servers.sweeps.reaper.sweep()

    assert (idle, servers.sweeps.reaper.next_in_s()) == (None, SETTINGS.lease_s - 0.75)


async def test_lease_that_has_ended_waits_for_the_next_sweep(servers: MemoryServers) -> None:
    """It may be another reaper's, or the database is away: looking at once would repeat for ever."""
    await servers.add(Status.PROCESSING, token=1, beat=1)
    await servers.sweeps.reaper.sweep()
    servers.passed_s += 20

    assert servers.sweeps.reaper.next_in_s() is None


@pytest.mark.parametrize(("known_s", "at_least_s", "at_most_s"), [(None, 0.8, 1.2), (9.0, 0.8, 1.2), (0.4, 0.4, 0.4)])
def test_pause_ends_when_something_is_due(known_s: float | None, at_least_s: float, at_most_s: float) -> None:
    sweep = Sweep("any", 1.0, nothing, next_in_s=lambda: known_s)

    assert at_least_s <= pause_s(sweep) <= at_most_s


def test_pause_is_never_without_length() -> None:
    assert pause_s(Sweep("any", 1.0, nothing, next_in_s=lambda: 1e-12)) == SHORTEST_PAUSE_S


async def nothing() -> int:
    return 0


async def reap(servers: MemoryServers) -> None:
    for _ in range(21):
        await servers.sweeps.reaper.sweep()
        servers.passed_s += 1


# Leaders that it ends


@pytest.mark.parametrize("how", [{"lost": 4}, {"lost": 0, "cancel_requested": True}])
async def test_waiters_hear_at_once_of_a_reaped_leader(servers: MemoryServers, how: dict[str, Any]) -> None:
    """Behaviour I8: nobody waits for a leader that the reaper has failed or cancelled."""
    await servers.add(Status.PROCESSING, token=5, beat=9, cache_key="key", followers=1, worker="w", **how)
    waiter = await servers.add(Status.PENDING, token=1, waits_for="key", publish_due=servers.now_ms() + 60_000)
    await reap(servers)
    after = await servers.reload(waiter)

    assert (after.lane, after.wait_ms) == (Lane.HIGH, 5_000)
    assert servers.waiting(Lane.HIGH) == 1


async def test_waiters_stay_while_a_reaped_leader_runs_again(servers: MemoryServers) -> None:
    await servers.add(Status.PROCESSING, token=5, beat=9, cache_key="key", followers=1, worker="w")
    waiter = await servers.add(Status.PENDING, token=1, waits_for="key", publish_due=servers.now_ms() + 60_000)
    await reap(servers)

    assert await servers.reload(waiter) == waiter


async def test_reaper_goes_on_when_waiters_cannot_be_told(servers: MemoryServers) -> None:
    await servers.add(Status.PROCESSING, token=5, beat=9, lost=4, cache_key="key", followers=1)
    other = await servers.add(Status.PROCESSING, token=5, beat=9)
    waiter = await servers.add(Status.PENDING, token=1, waits_for="key", publish_due=servers.now_ms() + 60_000)
    servers.bus.is_away = True
    await reap(servers)

    assert (await servers.reload(other)).status is Status.PENDING
    assert (await servers.reload(waiter)).wait_ms == 5_000
