"""The sweeps with memory adapters: outbox, upload deadlines, retention; the test moves the clock."""

import msgspec
import pytest
from structlog.testing import capture_logs

from converto_core.catalogue import NotAnswering, Offer, Worker
from converto_core.conversion.cache_key import CacheEntry
from converto_core.conversion.record import Lane, Status
from converto_core.errors import UploadRefused
from converto_core.events import ConversionCreated, conversion_created
from converto_core.files.record import FileStatus
from converto_core.formats import Family
from file_service.housekeeping.sweeps import Sweeps
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, OWNER, SETTINGS, MemoryServers


@pytest.fixture
def servers() -> MemoryServers:
    return MemoryServers()


# The outbox


async def test_due_message_is_sent_once_and_due_again_later(servers: MemoryServers) -> None:
    """Behaviour C4: an accepted record is always followed by its message."""
    record = await servers.add(Status.PENDING, publish_due=servers.now_ms())
    first, second = await servers.sweeps.outbox.sweep(), await servers.sweeps.outbox.sweep()
    after = await servers.reload(record)

    assert (first, second, servers.waiting()) == (1, 0, 1)
    assert after.publish_due == servers.now_ms() + 60_000
    assert after.published == 1


async def test_purged_messages_are_sent_again_within_seconds(
    servers: MemoryServers,
) -> None:
    """Promise 3: a purged queue delays its conversions by seconds only."""
    purged, other = [
        await servers.add(Status.PENDING, publish_due=servers.now_ms(), lane=lane) for lane in (Lane.NORMAL, Lane.BULK)
    ]
    await servers.sweeps.outbox.sweep()
    too_early = await servers.sweeps.lost_messages.sweep()
    servers.bus.drop_queue(Family.OFFICE, Lane.NORMAL)
    servers.bus.make_queue(Family.OFFICE, Lane.NORMAL)
    servers.passed_s += 4
    found = await servers.sweeps.lost_messages.sweep()
    await servers.sweeps.outbox.sweep()

    assert (too_early, found) == (0, 1)
    assert (servers.waiting(Lane.NORMAL), servers.waiting(Lane.BULK)) == (1, 1)
    assert (await servers.reload(purged)).published == 2
    assert (await servers.reload(other)).published == 1


async def test_retry_that_is_not_due_is_not_lost(servers: MemoryServers) -> None:
    waiting = await servers.add(Status.PENDING, publish_due=servers.now_ms() + 60_000)
    servers.passed_s += 30

    assert await servers.sweeps.lost_messages.sweep() == 0
    assert (await servers.reload(waiting)).publish_due == waiting.publish_due


async def test_purged_message_is_due_again(servers: MemoryServers) -> None:
    """Promise 1: the broker may be wiped and nothing is lost."""
    record = await servers.add(Status.PENDING, publish_due=servers.now_ms())
    await servers.sweeps.outbox.sweep()
    servers.bus.purge()
    servers.passed_s += 61
    await servers.sweeps.outbox.sweep()

    assert servers.waiting() == 1
    assert (await servers.reload(record)).publish_due == servers.now_ms() + 120_000


async def test_republish_interval_stops_growing(servers: MemoryServers) -> None:
    record = await servers.add(Status.PENDING, publish_due=servers.now_ms(), published=40)
    await servers.sweeps.outbox.sweep()

    assert (await servers.reload(record)).publish_due == servers.now_ms() + 3_600_000


async def test_message_due_later_is_not_sent(servers: MemoryServers) -> None:
    await servers.add(Status.PENDING, publish_due=servers.now_ms() + 1)

    assert await servers.sweeps.outbox.sweep() == 0


async def test_wait_asked_by_a_worker_counts_by_our_clock(servers: MemoryServers) -> None:
    """Found by the chaos suite: a worker's clock may be wrong by an hour."""
    record = await servers.add(Status.PENDING, publish_due=0, wait_ms=10_000)
    await servers.sweeps.outbox.sweep()
    put_off, early = await servers.reload(record), servers.waiting()
    servers.passed_s = 10
    await servers.sweeps.outbox.sweep()

    assert (put_off.publish_due, put_off.wait_ms) == (servers.started_ms + 10_000, None)
    assert (early, servers.waiting()) == (0, 1)


async def test_messages_are_sent_after_a_broker_outage(servers: MemoryServers) -> None:
    """Behaviour C8."""
    for _ in range(3):
        await servers.add(Status.PENDING, publish_due=servers.now_ms())
    servers.bus.is_away = True
    during = await servers.sweeps.run_once()
    servers.bus.is_away = False
    after = await servers.sweeps.run_once()

    assert (during["outbox"], after["outbox"], servers.waiting()) == (0, 3, 3)


async def test_message_without_queue_does_not_block_others(servers: MemoryServers) -> None:
    servers.bus.drop_queue(Family.VIDEO, Lane.NORMAL)
    await servers.add(Status.PENDING, publish_due=servers.now_ms() - 5, family=Family.VIDEO)
    await servers.add(Status.PENDING, publish_due=servers.now_ms())

    with capture_logs() as logs:
        assert await servers.sweeps.outbox.sweep() == 1
    assert servers.waiting() == 1
    reasons = [entry["reason"] for entry in logs if entry["event"] == "wakeup.refused"]
    assert reasons == ["no queue takes conversion_created.normal.video"]


async def test_refused_message_is_retried_with_backoff(
    servers: MemoryServers,
) -> None:
    servers.bus.drop_queue(Family.VIDEO, Lane.NORMAL)
    await servers.add(Status.PENDING, publish_due=servers.now_ms(), family=Family.VIDEO)
    publish, tried_at = servers.bus.publish, list[float]()

    async def noting(event: ConversionCreated) -> None:
        tried_at.append(servers.passed_s)
        await publish(event)

    servers.bus.publish = noting  # type: ignore[method-assign]
    for _ in range(20):
        await servers.sweeps.outbox.sweep()
        servers.passed_s += 1

    assert tried_at == [0, 1, 3, 7, 15]


async def test_more_messages_than_a_batch_are_all_sent(servers: MemoryServers) -> None:
    for _ in range(450):
        await servers.add(Status.PENDING, publish_due=servers.now_ms())

    assert await servers.sweeps.outbox.sweep() == 450


async def test_late_cancel_request_ends_the_conversion(servers: MemoryServers) -> None:
    record = await servers.add(Status.PENDING, publish_due=servers.now_ms(), cancel_requested=True)
    await servers.sweeps.outbox.sweep()

    assert (await servers.reload(record)).status is Status.CANCELLED
    assert servers.waiting() == 0


# Uploads that never came


async def test_abandoned_upload_ends_conversion_and_file(servers: MemoryServers) -> None:
    """Behaviour I10: abandoned uploads."""
    upload_id = await servers.objects.start_multipart("some/key", content_type="text/plain")
    file = await servers.add_file(
        FileStatus.AWAITING_UPLOAD, upload_id=upload_id, part_size_bytes=5, size_bytes=8, key="some/key"
    )
    record = await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)
    (part,) = await servers.objects.presign_parts("some/key", upload_id, [1])
    await servers.objects.send(part, b"abc")
    assert await servers.objects.list_parts("some/key", upload_id)
    servers.passed_s += DAY_S - 1
    early = await servers.sweeps.uploads.sweep()
    servers.passed_s += 2
    late = await servers.sweeps.uploads.sweep()
    gone = await servers.stores.files.get(file.id)

    assert (early, late) == (0, 2)
    assert (await servers.reload(record)).status is Status.EXPIRED
    assert (await servers.reload(record)).error_code == "upload_abandoned"
    assert gone is not None
    assert gone.status is FileStatus.DELETED
    assert not await servers.objects.knows_upload("some/key", upload_id)


async def test_unconfirmed_upload_is_confirmed(servers: MemoryServers) -> None:
    """Behaviour M1: the client may be gone."""
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    record = await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)
    await servers.objects.put(file.key, b"abc", content_type="text/plain")
    servers.passed_s += DAY_S + 1
    await servers.sweeps.uploads.sweep()

    assert servers.confirmed == [file.id]
    assert (await servers.reload(record)).status is Status.AWAITING_UPLOAD  # the use case moves it, not the sweep


async def test_refused_confirmation_does_not_stop_the_sweep(servers: MemoryServers) -> None:
    async def refuse(file_id: str) -> None:
        raise UploadRefused("other bytes", code="size_mismatch")

    file = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)
    await servers.objects.put(file.key, b"abcd", content_type="text/plain")
    never_came = await servers.add(Status.AWAITING_UPLOAD)
    servers.passed_s += DAY_S + 1
    sweeps = Sweeps(
        SETTINGS,
        servers.stores,
        servers.objects,
        servers.bus,
        confirm_upload=refuse,
        monotonic=lambda: 0,
        now_ms=servers.now_ms,
    )
    await sweeps.uploads.sweep()

    assert (await servers.reload(never_came)).status is Status.EXPIRED


async def test_uploads_when_a_younger_conversion_waits_then_the_file_stays(servers: MemoryServers) -> None:
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    servers.passed_s += DAY_S + 1
    await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)
    await servers.sweeps.uploads.sweep()
    kept = await servers.stores.files.get(file.id)

    assert kept is not None
    assert kept.status is FileStatus.AWAITING_UPLOAD


async def test_uploads_when_the_object_store_is_away_then_nothing_expires(servers: MemoryServers) -> None:
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    record = await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)
    servers.passed_s += DAY_S + 1
    servers.objects.is_away = True
    await servers.sweeps.run_once()

    assert (await servers.reload(record)).status is Status.AWAITING_UPLOAD


# Retention


async def test_old_result_expires_and_its_objects_are_deleted(servers: MemoryServers) -> None:
    """Behaviour I10: expired results and leftovers of fenced workers."""
    record = await servers.add_completed()
    await servers.objects.put(f"t/{OWNER}/out/{record.id}/1/result.pdf", b"orphan", content_type="application/pdf")
    servers.passed_s += 7 * DAY_S - 1
    early = await servers.sweeps.results.sweep()
    servers.passed_s += 2
    late = await servers.sweeps.results.sweep()
    after = await servers.reload(record)

    assert (early, late) == (0, 1)
    assert (after.status, after.outputs) == (Status.EXPIRED, ())
    assert await servers.objects.list_keys(f"t/{OWNER}/out/") == []


async def test_results_when_completed_late_then_the_time_counts_from_completion(servers: MemoryServers) -> None:
    record = await servers.add_completed()
    servers.passed_s += 7 * DAY_S + 1
    young = await servers.add(Status.COMPLETED, created_at=servers.started_ms, completed_at=servers.now_ms())
    await servers.sweeps.results.sweep()

    assert (await servers.reload(record)).status is Status.EXPIRED
    assert (await servers.reload(young)).status is Status.COMPLETED


async def test_results_when_a_retry_made_newer_ones_then_these_stay(servers: MemoryServers) -> None:
    record = await servers.add_completed()
    newer = f"t/{OWNER}/out/{record.id}/3/result.pdf"
    await servers.objects.put(newer, b"new", content_type="application/pdf")
    servers.passed_s += 7 * DAY_S + 1
    await servers.sweeps.results.sweep()

    assert await servers.objects.list_keys(f"t/{OWNER}/out/") == [newer]


async def test_results_when_the_object_store_is_away_then_nothing_expires(servers: MemoryServers) -> None:
    record = await servers.add_completed()
    servers.passed_s += 7 * DAY_S + 1
    servers.objects.is_away = True
    await servers.sweeps.run_once()

    assert (await servers.reload(record)).status is Status.COMPLETED


# Workers


def worker(servers: MemoryServers, name: str, *converters: str) -> Worker:
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
        started_at=servers.now_ms(),
        seen_at=servers.now_ms(),
        slots=1,
        sandbox="off",
        offers=offers,
    )


async def test_workers_when_gone_and_replaced_then_they_are_forgotten(servers: MemoryServers) -> None:
    await servers.stores.workers.put(worker(servers, "old", "office"))
    await servers.stores.workers.put(worker(servers, "only-one-with-cad", "cad"))
    servers.passed_s += 120
    await servers.stores.workers.put(worker(servers, "new", "office", "pdf"))
    await servers.sweeps.workers.sweep()

    assert {known.id for known in await servers.stores.workers.seen_since(0)} == {"new", "only-one-with-cad"}


async def test_gone_worker_whose_programs_never_answered_is_kept(servers: MemoryServers) -> None:
    silent = worker(servers, "slow")
    entries = tuple(
        NotAnswering(offer=offer, since=1, error="no answer") for offer in worker(servers, "x", "office").offers
    )
    await servers.stores.workers.put(msgspec.structs.replace(silent, not_answering=entries))
    servers.passed_s += 120
    await servers.stores.workers.put(worker(servers, "new", "pdf"))
    await servers.sweeps.workers.sweep()

    assert {known.id for known in await servers.stores.workers.seen_since(0)} == {"new", "slow"}


async def test_last_workers_offers_outlive_it(servers: MemoryServers) -> None:
    await servers.stores.workers.put(worker(servers, "last", "office"))
    servers.passed_s += 6 * DAY_S
    kept = await servers.sweeps.workers.sweep()
    servers.passed_s += 2 * DAY_S
    forgotten = await servers.sweeps.workers.sweep()

    assert (kept, forgotten) == (0, 1)


async def test_sweeps_when_every_server_is_away_then_a_round_survives(servers: MemoryServers) -> None:
    record = await servers.add(Status.PENDING, publish_due=servers.now_ms())
    servers.stores.is_away = servers.objects.is_away = servers.bus.is_away = True
    done = await servers.sweeps.run_once()
    servers.stores.is_away = servers.objects.is_away = servers.bus.is_away = False
    await servers.sweeps.run_once()

    assert set(done.values()) == {0}
    assert servers.waiting() == 1
    assert conversion_created(await servers.reload(record)).token == 0


async def test_cache_entry_older_than_any_result_is_removed() -> None:
    """I10: a cache entry is kept as long as its result may exist, plus the longest run before it."""
    servers = MemoryServers()
    entry = CacheEntry(id="k", conversion_id="c", token=1, owner=OWNER, created_at=servers.now_ms())
    await servers.stores.cache.lead(entry)

    servers.passed_s = int(SETTINGS.result_retention_s + SETTINGS.media_timeout_s)
    assert (await servers.sweeps.run_once())["cache"] == 0
    servers.passed_s += 1
    assert (await servers.sweeps.run_once())["cache"] == 1
    assert await servers.stores.cache.get("k") is None
