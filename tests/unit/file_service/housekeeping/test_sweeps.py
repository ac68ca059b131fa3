"""Housekeeping over memory twins: the outbox, the reaper, upload deadlines, retention; time is in the test's hand."""

import pytest

from converto_core.catalogue import Offer, Worker
from converto_core.conversion.cache_key import CacheEntry
from converto_core.conversion.processing import beat, claim
from converto_core.conversion.record import Lane, Status
from converto_core.conversion.transitions import request_cancel
from converto_core.errors import UploadRefused
from converto_core.events import ConversionCreated, conversion_created
from converto_core.files.record import FileStatus
from converto_core.formats import Family
from file_service.housekeeping.sweeps import Sweeps
from tests.unit.file_service.housekeeping.yard import DAY_S, OWNER, SETTINGS, Yard


@pytest.fixture
def yard() -> Yard:
    return Yard()


# The outbox


async def test_outbox_when_a_wakeup_is_due_then_it_leaves_once_and_is_due_again_later(yard: Yard) -> None:
    """Behaviour C4: the record is never accepted without the event following."""
    record = await yard.add(Status.PENDING, publish_due=yard.now_ms())
    first, second = await yard.sweeps.outbox.sweep(), await yard.sweeps.outbox.sweep()
    after = await yard.look(record)

    assert (first, second, yard.waiting()) == (1, 0, 1)
    assert after.publish_due == yard.now_ms() + 60_000
    assert after.published == 1


async def test_lost_wakeups_when_the_queue_was_purged_then_they_leave_again_within_seconds(yard: Yard) -> None:
    """Promise 3: an emptied queue delays what was in it by seconds, not until its wake-up is due again by itself."""
    purged, other = [
        await yard.add(Status.PENDING, publish_due=yard.now_ms(), lane=lane) for lane in (Lane.NORMAL, Lane.BULK)
    ]
    await yard.sweeps.outbox.sweep()
    too_early = await yard.sweeps.lost_wakeups.sweep()
    yard.bus.drop_queue(Family.OFFICE, Lane.NORMAL)
    yard.bus.make_queue(Family.OFFICE, Lane.NORMAL)
    yard.passed_s += 4
    found = await yard.sweeps.lost_wakeups.sweep()
    await yard.sweeps.outbox.sweep()

    assert (too_early, found) == (0, 1)
    assert (yard.waiting(Lane.NORMAL), yard.waiting(Lane.BULK)) == (1, 1)
    assert (await yard.look(purged)).published == 2
    assert (await yard.look(other)).published == 1


async def test_lost_wakeups_when_a_retry_waits_for_its_time_then_it_is_left_alone(yard: Yard) -> None:
    waiting = await yard.add(Status.PENDING, publish_due=yard.now_ms() + 60_000)
    yard.passed_s += 30

    assert await yard.sweeps.lost_wakeups.sweep() == 0
    assert (await yard.look(waiting)).publish_due == waiting.publish_due


async def test_outbox_when_the_queue_was_purged_then_the_wakeup_leaves_again(yard: Yard) -> None:
    """Promise 1: the broker may be wiped and nothing is lost."""
    record = await yard.add(Status.PENDING, publish_due=yard.now_ms())
    await yard.sweeps.outbox.sweep()
    yard.bus.purge()
    yard.passed_s += 61
    await yard.sweeps.outbox.sweep()

    assert yard.waiting() == 1
    assert (await yard.look(record)).publish_due == yard.now_ms() + 120_000


async def test_outbox_when_nobody_claims_for_long_then_the_wait_stops_growing(yard: Yard) -> None:
    record = await yard.add(Status.PENDING, publish_due=yard.now_ms(), published=40)
    await yard.sweeps.outbox.sweep()

    assert (await yard.look(record)).publish_due == yard.now_ms() + 3_600_000


async def test_outbox_when_the_date_is_in_the_future_then_nothing_leaves(yard: Yard) -> None:
    await yard.add(Status.PENDING, publish_due=yard.now_ms() + 1)

    assert await yard.sweeps.outbox.sweep() == 0


async def test_outbox_when_a_worker_asked_for_a_wait_then_it_counts_from_our_own_clock(yard: Yard) -> None:
    """Found by the chaos suite: a worker's clock may be wrong by an hour."""
    record = await yard.add(Status.PENDING, publish_due=0, wait_ms=10_000)
    await yard.sweeps.outbox.sweep()
    put_off, early = await yard.look(record), yard.waiting()
    yard.passed_s = 10
    await yard.sweeps.outbox.sweep()

    assert (put_off.publish_due, put_off.wait_ms) == (yard.started_ms + 10_000, None)
    assert (early, yard.waiting()) == (0, 1)


async def test_outbox_when_the_broker_is_away_then_everything_leaves_after_its_return(yard: Yard) -> None:
    """Behaviour C8."""
    for _ in range(3):
        await yard.add(Status.PENDING, publish_due=yard.now_ms())
    yard.bus.is_away = True
    during = await yard.sweeps.once()
    yard.bus.is_away = False
    after = await yard.sweeps.once()

    assert (during["outbox"], after["outbox"], yard.waiting()) == (0, 3, 3)


async def test_outbox_when_one_wakeup_has_no_queue_then_the_others_leave_all_the_same(yard: Yard) -> None:
    yard.bus.drop_queue(Family.VIDEO, Lane.NORMAL)
    await yard.add(Status.PENDING, publish_due=yard.now_ms() - 5, family=Family.VIDEO)
    await yard.add(Status.PENDING, publish_due=yard.now_ms())

    assert await yard.sweeps.outbox.sweep() == 1
    assert yard.waiting() == 1


async def test_outbox_when_a_wakeup_is_refused_then_it_is_tried_again_soon_and_then_less_often(yard: Yard) -> None:
    yard.bus.drop_queue(Family.VIDEO, Lane.NORMAL)
    await yard.add(Status.PENDING, publish_due=yard.now_ms(), family=Family.VIDEO)
    publish, tried_at = yard.bus.publish, list[float]()

    async def noting(event: ConversionCreated) -> None:
        tried_at.append(yard.passed_s)
        await publish(event)

    yard.bus.publish = noting  # type: ignore[method-assign]
    for _ in range(20):
        await yard.sweeps.outbox.sweep()
        yard.passed_s += 1

    assert tried_at == [0, 1, 3, 7, 15]


async def test_outbox_when_there_are_more_than_a_batch_then_all_leave(yard: Yard) -> None:
    for _ in range(450):
        await yard.add(Status.PENDING, publish_due=yard.now_ms())

    assert await yard.sweeps.outbox.sweep() == 450


async def test_outbox_when_a_cancel_came_as_the_worker_gave_up_then_it_is_cancelled(yard: Yard) -> None:
    record = await yard.add(Status.PENDING, publish_due=yard.now_ms(), cancel_requested=True)
    await yard.sweeps.outbox.sweep()

    assert (await yard.look(record)).status is Status.CANCELLED
    assert yard.waiting() == 0


# The reaper


async def test_reaper_when_the_beat_stands_still_for_a_lease_then_it_goes_to_the_high_lane(yard: Yard) -> None:
    """Promise 3: a dead worker's conversion runs again; the attempt is not charged."""
    record = await yard.add(Status.PENDING, publish_due=yard.now_ms())
    await yard.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=yard.now_ms()))
    reaped = []
    for _ in range(21):
        reaped.append(await yard.sweeps.reaper.sweep())
        yard.passed_s += 1
    after = await yard.look(record)

    assert reaped == [0] * 20 + [1]
    assert (after.status, after.lane, after.lost, after.attempt) == (Status.PENDING, Lane.HIGH, 1, 0)
    assert after.publish_due is not None


async def test_reaper_when_the_worker_beats_then_it_is_left_alone(yard: Yard) -> None:
    record = await yard.add(Status.PROCESSING, token=1, beat=1, worker="w")
    for second in range(60):
        if second % 15 == 0:
            await yard.stores.conversions.apply(beat(record.id, token=1, now_ms=yard.now_ms()))
        assert await yard.sweeps.reaper.sweep() == 0
        yard.passed_s += 1


async def test_reaper_when_it_starts_anew_then_it_watches_for_a_whole_lease_first(yard: Yard) -> None:
    await yard.add(Status.PROCESSING, token=1, beat=1, started_at=yard.now_ms() - 10_000_000)

    assert await yard.another_process().reaper.sweep() == 0


async def test_reaper_when_the_database_was_away_then_silence_meanwhile_proves_nothing(yard: Yard) -> None:
    """Workers could not beat either; so nobody is reaped for the outage itself."""
    record = await yard.add(Status.PROCESSING, token=1, beat=1)
    await yard.sweeps.reaper.sweep()
    yard.stores.is_away = True
    for _ in range(30):
        yard.passed_s += 1
        await yard.sweeps.once()
    yard.stores.is_away = False
    first = await yard.sweeps.reaper.sweep()
    for _ in range(20):
        yard.passed_s += 1
        await yard.sweeps.reaper.sweep()

    assert first == 0
    assert (await yard.look(record)).status is Status.PENDING


async def test_reapers_when_two_run_then_one_loss_is_counted(yard: Yard) -> None:
    record = await yard.add(Status.PROCESSING, token=1, beat=1)
    both = (yard.sweeps.reaper, yard.another_process().reaper)
    reaped = 0
    for _ in range(25):
        reaped += sum([await reaper.sweep() for reaper in both])
        yard.passed_s += 1

    assert reaped == 1
    assert (await yard.look(record)).lost == 1


async def test_reaper_when_a_second_worker_vanishes_then_the_conversion_goes_to_quarantine(yard: Yard) -> None:
    """Promise 3: a poison file blocks nobody."""
    record = await yard.add(Status.PROCESSING, token=2, beat=9, lost=1, lane=Lane.HIGH)
    await reap(yard)
    await yard.sweeps.outbox.sweep()

    assert (await yard.look(record)).lane is Lane.QUARANTINE
    assert yard.waiting(Lane.QUARANTINE) == 1


async def test_reaper_when_the_fifth_worker_vanishes_then_it_fails_and_says_why(yard: Yard) -> None:
    record = await yard.add(Status.PROCESSING, token=5, beat=9, lost=4, lane=Lane.QUARANTINE, worker="w")
    await reap(yard)
    after = await yard.look(record)

    assert (after.status, after.error_code) == (Status.FAILED, "worker_lost")
    assert after.errors[-1].worker == "w"
    assert "5 times" in (after.error_message or "")


async def test_reaper_when_a_cancel_was_asked_for_then_it_ends_cancelled(yard: Yard) -> None:
    record = await yard.add(Status.PROCESSING, token=1, beat=1)
    await yard.stores.conversions.apply(request_cancel(record.id, owner=OWNER, now_ms=yard.now_ms()))
    await reap(yard)

    assert (await yard.look(record)).status is Status.CANCELLED


async def test_reaper_when_it_reaps_then_listeners_are_told(yard: Yard) -> None:
    record = await yard.add(Status.PROCESSING, token=1, beat=1)
    async with yard.bus.subscribe() as facts:
        await reap(yard)
        told = await anext(aiter(facts))

    assert (told.id, told.status) == (record.id, Status.PENDING)


async def reap(yard: Yard) -> None:
    for _ in range(21):
        await yard.sweeps.reaper.sweep()
        yard.passed_s += 1


# Uploads that never came


async def test_uploads_when_the_bytes_never_came_then_conversion_and_file_end(yard: Yard) -> None:
    """Behaviour I10: abandoned uploads."""
    upload_id = await yard.objects.start_multipart("some/key", content_type="text/plain")
    file = await yard.add_file(FileStatus.AWAITING_UPLOAD, upload_id=upload_id, part_size_bytes=5, key="some/key")
    record = await yard.add(Status.AWAITING_UPLOAD, file_id=file.id)
    (part,) = await yard.objects.presign_parts("some/key", upload_id, [1])
    await yard.objects.send(part, b"abc")
    assert await yard.objects.list_parts("some/key", upload_id)
    yard.passed_s += DAY_S - 1
    early = await yard.sweeps.uploads.sweep()
    yard.passed_s += 2
    late = await yard.sweeps.uploads.sweep()
    gone = await yard.stores.files.get(file.id)

    assert (early, late) == (0, 2)
    assert (await yard.look(record)).status is Status.EXPIRED
    assert (await yard.look(record)).error_code == "upload_abandoned"
    assert gone is not None
    assert gone.status is FileStatus.DELETED
    assert await yard.objects.list_parts("some/key", upload_id) == []


async def test_uploads_when_the_bytes_are_there_unconfirmed_then_they_are_confirmed(yard: Yard) -> None:
    """Behaviour M1: the client may be gone."""
    file = await yard.add_file(FileStatus.AWAITING_UPLOAD)
    record = await yard.add(Status.AWAITING_UPLOAD, file_id=file.id)
    await yard.objects.put(file.key, b"abc", content_type="text/plain")
    yard.passed_s += DAY_S + 1
    await yard.sweeps.uploads.sweep()

    assert yard.confirmed == [file.id]
    assert (await yard.look(record)).status is Status.AWAITING_UPLOAD  # the use case moves it, not the sweep


async def test_uploads_when_confirming_refuses_the_bytes_then_the_sweep_goes_on(yard: Yard) -> None:
    async def refuse(file_id: str) -> None:
        raise UploadRefused("other bytes", code="size_mismatch")

    file = await yard.add_file(FileStatus.AWAITING_UPLOAD)
    await yard.add(Status.AWAITING_UPLOAD, file_id=file.id)
    await yard.objects.put(file.key, b"abcd", content_type="text/plain")
    never_came = await yard.add(Status.AWAITING_UPLOAD)
    yard.passed_s += DAY_S + 1
    sweeps = Sweeps(
        SETTINGS, yard.stores, yard.objects, yard.bus, confirm_upload=refuse, monotonic=lambda: 0, now_ms=yard.now_ms
    )
    await sweeps.uploads.sweep()

    assert (await yard.look(never_came)).status is Status.EXPIRED


async def test_uploads_when_a_younger_conversion_waits_then_the_file_stays(yard: Yard) -> None:
    file = await yard.add_file(FileStatus.AWAITING_UPLOAD)
    yard.passed_s += DAY_S + 1
    await yard.add(Status.AWAITING_UPLOAD, file_id=file.id)
    await yard.sweeps.uploads.sweep()
    kept = await yard.stores.files.get(file.id)

    assert kept is not None
    assert kept.status is FileStatus.AWAITING_UPLOAD


async def test_uploads_when_the_object_store_is_away_then_nothing_expires(yard: Yard) -> None:
    file = await yard.add_file(FileStatus.AWAITING_UPLOAD)
    record = await yard.add(Status.AWAITING_UPLOAD, file_id=file.id)
    yard.passed_s += DAY_S + 1
    yard.objects.is_away = True
    await yard.sweeps.once()

    assert (await yard.look(record)).status is Status.AWAITING_UPLOAD


# Retention


async def test_results_when_their_time_is_over_then_record_expires_and_objects_go(yard: Yard) -> None:
    """Behaviour I10: expired results, and what a fenced worker left beside them."""
    record = await yard.add_completed()
    await yard.objects.put(f"t/{OWNER}/out/{record.id}/1/result.pdf", b"orphan", content_type="application/pdf")
    yard.passed_s += 7 * DAY_S - 1
    early = await yard.sweeps.results.sweep()
    yard.passed_s += 2
    late = await yard.sweeps.results.sweep()
    after = await yard.look(record)

    assert (early, late) == (0, 1)
    assert (after.status, after.outputs) == (Status.EXPIRED, ())
    assert await yard.objects.list_keys(f"t/{OWNER}/out/") == []


async def test_results_when_completed_late_then_the_time_counts_from_completion(yard: Yard) -> None:
    record = await yard.add_completed()
    yard.passed_s += 7 * DAY_S + 1
    young = await yard.add(Status.COMPLETED, created_at=yard.started_ms, completed_at=yard.now_ms())
    await yard.sweeps.results.sweep()

    assert (await yard.look(record)).status is Status.EXPIRED
    assert (await yard.look(young)).status is Status.COMPLETED


async def test_results_when_a_retry_made_newer_ones_then_these_stay(yard: Yard) -> None:
    record = await yard.add_completed()
    newer = f"t/{OWNER}/out/{record.id}/3/result.pdf"
    await yard.objects.put(newer, b"new", content_type="application/pdf")
    yard.passed_s += 7 * DAY_S + 1
    await yard.sweeps.results.sweep()

    assert await yard.objects.list_keys(f"t/{OWNER}/out/") == [newer]


async def test_results_when_the_object_store_is_away_then_nothing_expires(yard: Yard) -> None:
    record = await yard.add_completed()
    yard.passed_s += 7 * DAY_S + 1
    yard.objects.is_away = True
    await yard.sweeps.once()

    assert (await yard.look(record)).status is Status.COMPLETED


# Workers


def worker(yard: Yard, name: str, *converters: str) -> Worker:
    offers = tuple(
        Offer(
            converter=converter,
            engine=converter,
            engine_version="1",
            family=Family.OFFICE,
            sources=("txt",),
            targets=("pdf",),
            options_schema={},
        )
        for converter in converters
    )
    return Worker(
        id=name,
        host="here",
        pid=1,
        started_at=yard.now_ms(),
        seen_at=yard.now_ms(),
        slots=1,
        sandbox="off",
        offers=offers,
    )


async def test_workers_when_gone_and_replaced_then_they_are_forgotten(yard: Yard) -> None:
    await yard.stores.workers.put(worker(yard, "old", "office"))
    await yard.stores.workers.put(worker(yard, "only-one-with-cad", "cad"))
    yard.passed_s += 120
    await yard.stores.workers.put(worker(yard, "new", "office", "pdf"))
    await yard.sweeps.workers.sweep()

    assert {known.id for known in await yard.stores.workers.seen_since(0)} == {"new", "only-one-with-cad"}


async def test_workers_when_the_last_one_is_gone_then_its_offers_outlive_it_for_a_while(yard: Yard) -> None:
    await yard.stores.workers.put(worker(yard, "last", "office"))
    yard.passed_s += 6 * DAY_S
    kept = await yard.sweeps.workers.sweep()
    yard.passed_s += 2 * DAY_S
    forgotten = await yard.sweeps.workers.sweep()

    assert (kept, forgotten) == (0, 1)


async def test_sweeps_when_every_server_is_away_then_a_round_survives(yard: Yard) -> None:
    record = await yard.add(Status.PENDING, publish_due=yard.now_ms())
    yard.stores.is_away = yard.objects.is_away = yard.bus.is_away = True
    done = await yard.sweeps.once()
    yard.stores.is_away = yard.objects.is_away = yard.bus.is_away = False
    await yard.sweeps.once()

    assert set(done.values()) == {0}
    assert yard.waiting() == 1
    assert conversion_created(await yard.look(record)).token == 0


async def test_cache_when_an_entry_is_older_than_any_result_then_forgotten() -> None:
    """I10: who made a result is kept as long as the result may be there, and the longest run before it."""
    yard = Yard()
    entry = CacheEntry(id="k", conversion_id="c", token=1, owner=OWNER, created_at=yard.now_ms())
    await yard.stores.cache.lead(entry)

    yard.passed_s = int(SETTINGS.result_retention_s + SETTINGS.media_timeout_s)
    assert (await yard.sweeps.once())["cache"] == 0
    yard.passed_s += 1
    assert (await yard.sweeps.once())["cache"] == 1
    assert await yard.stores.cache.get("k") is None
