"""Dates written by a clock that was ahead (C4, promise 3): nothing is stuck until the time that they name."""

import pytest

from conversion_worker.single_flight.single_flight import LONGEST_WAIT_MS
from conversion_worker.slot.completion import LONGEST_ENGINE_WAIT_MS
from converto_core.conversion.record import Lane, Status
from converto_core.files.record import FileStatus
from converto_core.formats import Family
from converto_infra.waiter_release import PUBLISHED_AGAIN_MS
from file_service.delivery.future_dates import LONGEST_WORKER_WAIT_MS
from file_service.housekeeping.backoff import Backoff
from tests.unit.file_service.housekeeping.memory_servers import MemoryServers

HOUR_MS = 3_600_000


@pytest.fixture
def servers() -> MemoryServers:
    return MemoryServers()


# Messages


@pytest.mark.parametrize("published", [0, 1, 4, 7, 20])
async def test_message_dated_an_hour_ahead_is_sent(servers: MemoryServers, published: int) -> None:
    """Whatever it waits for: each wait has its own longest time."""
    wait_ms = servers.sweeps.future_dates.longest_wait_ms(published)
    due = servers.now_ms() + HOUR_MS + wait_ms
    record = await servers.add(Status.PENDING, published=published, publish_due=due)
    sent = await servers.sweeps.future_dates.sweep(), await servers.sweeps.future_dates.sweep()
    after = await servers.reload(record)

    assert (sent, servers.waiting()) == ((1, 0), 1)
    assert after.publish_due is not None
    assert after.publish_due <= servers.now_ms() + servers.sweeps.future_dates.longest_wait_ms(published + 1)


@pytest.mark.parametrize("published", [0, 1, 4, 7, 20])
async def test_longest_right_wait_is_left_alone(servers: MemoryServers, published: int) -> None:
    due = servers.now_ms() + servers.sweeps.future_dates.longest_wait_ms(published)
    await servers.add(Status.PENDING, published=published, publish_due=due)

    assert await servers.sweeps.future_dates.sweep() == 0


async def test_process_whose_clock_lags_judges_no_date(servers: MemoryServers) -> None:
    """It would send the messages of all others again and again."""
    await servers.add(Status.PENDING, publish_due=servers.now_ms())
    lagging = servers.another_process(wrong_ms=-HOUR_MS)

    assert await lagging.future_dates.sweep() == 0


async def test_without_a_second_clock_no_date_is_judged(servers: MemoryServers) -> None:
    await servers.add(Status.PENDING, publish_due=servers.now_ms() + 24 * HOUR_MS)
    servers.objects.is_away = True

    assert await servers.sweeps.future_dates.sweep() == 0


async def test_more_misdated_messages_than_a_batch_are_sent(servers: MemoryServers) -> None:
    for _ in range(450):
        await servers.add(Status.PENDING, publish_due=servers.now_ms() + HOUR_MS)

    assert await servers.sweeps.future_dates.sweep() == 450


def test_no_wait_of_a_worker_is_longer_than_known() -> None:
    assert max(LONGEST_WAIT_MS, LONGEST_ENGINE_WAIT_MS, PUBLISHED_AGAIN_MS) <= LONGEST_WORKER_WAIT_MS


async def test_lost_message_of_a_misdated_change_is_found(servers: MemoryServers) -> None:
    ahead_ms = servers.now_ms() + HOUR_MS
    due_ms = servers.now_ms() + 60_000
    record = await servers.add(Status.PENDING, published=1, publish_due=due_ms, updated_at=ahead_ms)
    servers.bus.make_queue(Family.OFFICE, Lane.NORMAL)

    assert await servers.sweeps.lost_messages.sweep() == 1
    assert (await servers.reload(record)).publish_due == servers.now_ms()


# Uploads


@pytest.mark.parametrize("is_complete", [True, False])
async def test_upload_of_a_future_record_is_looked_at(servers: MemoryServers, *, is_complete: bool) -> None:
    """Once, and again at the next age; not in each sweep."""
    servers.are_uploads_complete = is_complete
    ahead_ms = servers.now_ms() + HOUR_MS
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD, created_at=ahead_ms, look_due=ahead_ms + 60_000)
    await servers.sweeps.waiting_uploads.sweep()
    await servers.sweeps.waiting_uploads.sweep()
    looked = list(servers.confirmed)
    servers.passed_s += 241
    await servers.sweeps.waiting_uploads.sweep()

    assert (looked, servers.confirmed) == ([file.id], [file.id, file.id])


async def test_upload_of_a_past_record_gets_every_look(servers: MemoryServers) -> None:
    """A clock that was an hour behind dated it: only its first look comes too early."""
    servers.are_uploads_complete = False
    behind_ms = servers.now_ms() - HOUR_MS
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD, created_at=behind_ms, look_due=behind_ms + 60_000)
    looked = []
    for minute in range(16):
        await servers.sweeps.waiting_uploads.sweep()
        looked += [minute] * (len(servers.confirmed) - len(looked))
        servers.passed_s += 60

    assert looked == [0, 4, 14]
    assert set(servers.confirmed) == {file.id}


async def test_past_conversion_of_an_uploaded_file_is_started(servers: MemoryServers) -> None:
    """Its age, by a clock that was a day behind, is beyond the schedule."""
    await servers.sweeps.waiting_uploads.sweep()
    file = await servers.add_file(FileStatus.UPLOADED)
    behind_ms = servers.now_ms() - 24 * HOUR_MS
    await servers.add(Status.AWAITING_UPLOAD, file_id=file.id, created_at=behind_ms)
    servers.passed_s += max(servers.settings.upload_looks_s) + 1
    await servers.sweeps.waiting_uploads.sweep()

    assert servers.confirmed == [file.id]


async def test_look_dated_an_hour_too_late_is_taken(servers: MemoryServers) -> None:
    longest_ms = int(max((*servers.settings.upload_looks_s, servers.settings.upload_url_ttl_s)) * 1000)
    late = await servers.add_file(FileStatus.AWAITING_UPLOAD, look_due=servers.now_ms() + longest_ms + HOUR_MS)
    await servers.add_file(FileStatus.AWAITING_UPLOAD, look_due=servers.now_ms() + longest_ms)
    await servers.sweeps.waiting_uploads.sweep()

    assert servers.confirmed == [late.id]


async def test_future_conversion_of_an_uploaded_file_is_started(servers: MemoryServers) -> None:
    file = await servers.add_file(FileStatus.UPLOADED)
    ahead_ms = servers.now_ms() + HOUR_MS
    await servers.add(Status.AWAITING_UPLOAD, file_id=file.id, created_at=ahead_ms)
    await servers.sweeps.waiting_uploads.sweep()

    assert servers.confirmed == [file.id]


def test_backoff_outlives_a_clock_that_is_set_back() -> None:
    clock_ms = [HOUR_MS]
    backoff = Backoff(lambda: clock_ms[0], first_s=60)
    backoff.fail("record")
    before = backoff.is_due("record")
    clock_ms[0] = 0

    assert (before, backoff.is_due("record")) == (False, True)
