"""Removal by age (behaviour I10): records with their objects, exactly at the retention time."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from converto_core.access import RememberedAnswer
from converto_core.conversion.history import entry_of
from converto_core.conversion.record import Appended, Conversion, Status, Step
from converto_core.conversion.transitions import retry
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_infra.settings import Settings
from file_service.housekeeping.retention.removal import BATCH, duration_text
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, OWNER, SETTINGS, MemoryServers

ENDED = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
ALIVE = (Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING)


@pytest.fixture
def servers() -> MemoryServers:
    return MemoryServers()


def changed(**settings: Any) -> MemoryServers:
    return MemoryServers(Settings(**{**SETTINGS.model_dump(exclude_unset=True), **settings}))


async def exists(servers: MemoryServers, record: Conversion) -> bool:
    return await servers.stores.conversions.get(record.id) is not None


async def file_of(servers: MemoryServers, file: File) -> File | None:
    return await servers.stores.files.get(file.id)


# Failures


@pytest.mark.parametrize("status", ENDED)
async def test_failures_when_a_week_old_then_record_and_objects_go(servers: MemoryServers, status: Status) -> None:
    """I10: failed conversions older than 7 days, and not a millisecond earlier."""
    code = "upload_abandoned" if status is Status.EXPIRED else None
    record = await servers.add(status, token=2, completed_at=servers.now_ms(), error_code=code)
    for token in (1, 2):
        await servers.add_output(record, token=token)
    servers.passed_s += 7 * DAY_S
    early = await servers.sweep("failures")
    servers.passed_s += 0.002
    late = await servers.sweep("failures")

    assert (early, late) == (0, 1)
    assert not await exists(servers, record)
    assert await servers.objects.list_keys("t/") == []


@pytest.mark.parametrize("status", [*ALIVE, Status.COMPLETED])
async def test_unfinished_or_completed_conversion_stays_however_old(servers: MemoryServers, status: Status) -> None:
    record = await servers.add(status, completed_at=1, updated_at=1, created_at=1)
    servers.passed_s += 400 * DAY_S
    for name in ("failures", "records"):
        assert await servers.sweep(name) == 0

    assert await exists(servers, record)


async def test_failure_retried_before_its_removal_stays(servers: MemoryServers) -> None:
    """Promise 1: neither the retried record nor its objects are removed."""
    record = await servers.add(Status.FAILED, token=1, completed_at=servers.now_ms())
    key = await servers.add_output(record)
    servers.passed_s += 8 * DAY_S
    (removal,) = [one async for one in servers.sweeps.retention["failures"].removals()]
    again = retry(
        record, source_format="txt", plan=(Step("fake", "txt", "pdf"),), family=Family.OFFICE, now_ms=servers.now_ms()
    )
    assert await servers.stores.conversions.apply(again)

    assert await removal.run() == 0
    assert (await servers.reload(record)).status is Status.PENDING
    assert await servers.objects.list_keys("t/") == [key]


async def test_expired_result_keeps_its_record_for_the_second_retention(
    servers: MemoryServers,
) -> None:
    """The record of an expired result stays for another 30 days."""
    record = await servers.add_completed()
    servers.passed_s += 7 * DAY_S + 1
    await servers.sweep("results")
    servers.passed_s += 30 * DAY_S
    assert (await servers.sweep("failures"), await servers.sweep("records")) == (0, 0)
    servers.passed_s += 1

    assert await servers.sweep("records") == 1
    assert not await exists(servers, record)


async def test_late_expiry_delays_the_removal_of_the_record(
    servers: MemoryServers,
) -> None:
    record = await servers.add_completed()
    servers.passed_s += 100 * DAY_S  # nobody swept
    await servers.sweep("results")
    servers.passed_s += 30 * DAY_S
    early = await servers.sweep("records")
    servers.passed_s += 1

    assert (early, await servers.sweep("records")) == (0, 1)
    assert not await exists(servers, record)


async def test_many_failures_of_one_millisecond_are_all_removed(servers: MemoryServers) -> None:
    """Pages are read by time; more records of one time than a page holds must not hide later ones."""
    for number in range(2 * BATCH + 7):
        await servers.add(Status.FAILED, completed_at=servers.now_ms() + number // (2 * BATCH))
    servers.passed_s += 8 * DAY_S
    listed = await servers.listed("failures")

    assert len({one.id for one in listed}) == len(listed) == 2 * BATCH + 7
    assert await servers.sweep("failures") == 2 * BATCH + 7


# Results of deleted files


async def test_results_expire_a_day_after_their_source_was_deleted(
    servers: MemoryServers,
) -> None:
    """I10: a client that deletes a source right after the conversion can still fetch the result."""
    file, kept = await servers.add_file(FileStatus.DELETED), await servers.add_file(FileStatus.UPLOADED)
    gone, stays = await servers.add_completed(file_id=file.id), await servers.add_completed(file_id=kept.id)
    servers.passed_s += DAY_S
    early = await servers.sweep("deleted_outputs")
    servers.passed_s += 1
    late = await servers.sweep("deleted_outputs")

    assert (early, late) == (0, 1)
    assert ((await servers.reload(gone)).status, (await servers.reload(stays)).status) == (
        Status.EXPIRED,
        Status.COMPLETED,
    )
    assert await servers.objects.list_keys("t/") == [stays.outputs[0].key]


async def test_result_completed_after_the_deletion_expires_later(
    servers: MemoryServers,
) -> None:
    file = await servers.add_file(FileStatus.DELETED)
    servers.passed_s += DAY_S + 1
    assert await servers.sweep("deleted_outputs") == 0
    late = await servers.add_completed(file_id=file.id)

    assert await servers.sweep("deleted_outputs") == 1
    assert (await servers.reload(late)).status is Status.EXPIRED


# Files


async def test_files_when_deleted_a_month_ago_then_the_record_goes(servers: MemoryServers) -> None:
    deleted = await servers.add_file(FileStatus.DELETED)
    others = [await servers.add_file(status) for status in (FileStatus.UPLOADED, FileStatus.AWAITING_UPLOAD)]
    servers.passed_s += 30 * DAY_S
    early = await servers.sweep("files")
    servers.passed_s += 1

    assert (early, await servers.sweep("files")) == (0, 1)
    assert await file_of(servers, deleted) is None
    assert [await file_of(servers, one) for one in others] == others


async def uploaded(servers: MemoryServers) -> File:
    file = await servers.add_file(FileStatus.UPLOADED)
    await servers.objects.put(file.key, b"abc", content_type="text/plain")
    return file


async def test_sources_stay_forever_without_a_retention_time(servers: MemoryServers) -> None:
    file = await uploaded(servers)
    servers.passed_s += 4000 * DAY_S

    assert await servers.sweep("sources") == 0
    assert await file_of(servers, file) == file


async def test_unneeded_source_is_deleted_with_its_bytes() -> None:
    servers = changed(source_retention_s=3 * DAY_S)
    file, expired = await uploaded(servers), await uploaded(servers)
    await servers.add(Status.EXPIRED, file_id=expired.id)
    servers.passed_s += 3 * DAY_S
    early = await servers.sweep("sources")
    servers.passed_s += 1

    assert (early, await servers.sweep("sources")) == (0, 2)
    assert await servers.objects.list_keys("t/") == []
    for one in (file, expired):
        now = await file_of(servers, one)
        assert now is not None and now.status is FileStatus.DELETED


@pytest.mark.parametrize("status", [*ALIVE, Status.COMPLETED, Status.FAILED, Status.CANCELLED])
async def test_sources_when_a_conversion_needs_them_then_they_stay(status: Status) -> None:
    """A failed one may be retried, and the results of a completed one would expire with its source."""
    servers = changed(source_retention_s=3 * DAY_S)
    file = await uploaded(servers)
    await servers.add(status, file_id=file.id, completed_at=servers.now_ms() + int(4 * DAY_S * 1000))
    servers.passed_s += 4 * DAY_S

    assert await servers.sweep("sources") == 0
    assert await servers.objects.list_keys("t/") == [file.key]


async def test_sources_when_a_living_conversion_joins_them_then_they_stay() -> None:
    servers = changed(source_retention_s=3 * DAY_S)
    joined, other = await uploaded(servers), await uploaded(servers)
    await servers.add(Status.PENDING, appended=(Appended(joined.id, 1),))
    servers.passed_s += 4 * DAY_S

    assert await servers.sweep("sources") == 1
    assert await file_of(servers, joined) == joined
    assert await file_of(servers, other) != other


async def test_source_needed_at_the_last_moment_is_restored() -> None:
    """Promise 1: no accepted conversion loses its source to housekeeping."""
    servers = changed(source_retention_s=3 * DAY_S)
    file = await uploaded(servers)
    servers.passed_s += 4 * DAY_S
    (removal,) = [one async for one in servers.sweeps.retention["sources"].removals()]
    await servers.add(Status.PENDING, file_id=file.id)

    assert await removal.run() == 0
    assert await file_of(servers, file) == file
    assert await servers.objects.list_keys("t/") == [file.key]


# Uploads


async def test_unconfirmed_uploads_do_not_hide_later_expiries(
    servers: MemoryServers,
) -> None:
    """Without `confirm_upload`, unconfirmed uploads stay; they must not hide later ones."""
    servers.confirm = None  # type: ignore[assignment, method-assign]
    sweeps = servers.another_process()
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    await servers.objects.put(file.key, b"abc", content_type="text/plain")
    for _ in range(BATCH + 1):
        await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)
    servers.passed_s += 1
    never_came = await servers.add(Status.AWAITING_UPLOAD)
    servers.passed_s += DAY_S + 1

    assert await sweeps.uploads.sweep() == 1
    assert (await servers.reload(never_came)).status is Status.EXPIRED


# Other records


async def test_answers_when_expired_then_forgotten(servers: MemoryServers) -> None:
    answers = servers.stores.access
    now = servers.now_ms()
    for name, expires_at in (("old", now - 1), ("exactly now", now), ("young", now + 10)):
        answer = RememberedAnswer(id=f"{OWNER}:{name}", body_sha256="0", claimed_at=1, expires_at=expires_at)
        await answers.claim_answer(answer, stale_before_ms=0)

    assert await servers.sweep("answers") == 1
    left = await answers.old_answers.older_than(from_ms=0, before_ms=now + 99, limit=9)
    assert [one.id for one in left] == [f"{OWNER}:exactly now", f"{OWNER}:young"]


async def test_history_when_a_month_old_then_entries_go_in_batches(servers: MemoryServers) -> None:
    """I10: old history."""
    old = [await servers.add(Status.FAILED, changes=number + 1) for number in range(BATCH + 3)]
    for record in old:
        servers.stores.history.record(entry_of(record))
    servers.passed_s += 30 * DAY_S
    early = await servers.sweep("history")
    servers.passed_s += 1
    young = await servers.add(Status.FAILED)
    servers.stores.history.record(entry_of(young))

    assert (early, await servers.sweep("history")) == (0, BATCH + 3)
    assert len(await servers.stores.history.of(young.id, owner=OWNER)) == 1


# Servers, clocks, several processes


async def test_objects_left_by_a_crash_are_removed_as_orphans(
    servers: MemoryServers,
) -> None:
    """I10: records are removed before objects, so a crash in between leaves orphans."""
    record = await servers.add(Status.FAILED, token=1, completed_at=servers.now_ms())
    await servers.add_output(record)
    servers.passed_s += 8 * DAY_S
    servers.objects.refuses_deletes = True
    assert await servers.sweep("failures") == 1
    servers.objects.refuses_deletes = False

    assert not await exists(servers, record)
    assert await servers.sweep("failures") == 0
    assert await servers.sweep("orphans") == 1
    assert await servers.objects.list_keys("t/") == []


@pytest.mark.parametrize("jump_s", [3650 * DAY_S, -3650 * DAY_S])
async def test_retention_when_our_clock_jumps_then_nothing_goes(jump_s: float) -> None:
    """A clock ten years ahead must not delete everything: the object store's clock must agree."""
    servers = changed(source_retention_s=DAY_S)
    await servers.add_completed()
    await servers.add(Status.FAILED, completed_at=servers.now_ms())
    await servers.add(Status.AWAITING_UPLOAD)
    await servers.add_file(FileStatus.DELETED)
    await uploaded(servers)
    start_ms = servers.now_ms()
    servers.objects._clock = lambda: start_ms
    servers.passed_s += jump_s
    before = store_contents(servers)
    done = await servers.sweeps.run_once()

    assert {name: count for name, count in done.items() if count} == {}
    assert store_contents(servers) == before


async def test_retention_when_the_store_lags_then_it_is_said_once(servers: MemoryServers) -> None:
    start_ms = servers.now_ms()
    servers.objects._clock = lambda: start_ms
    servers.passed_s += DAY_S
    with capture_logs() as logged:
        for _ in range(3):
            await servers.sweep("failures")

    assert [entry["event"] for entry in logged] == ["clock.differs"]


async def test_round_without_database_reports_the_failing_sweeps(
    servers: MemoryServers,
) -> None:
    servers.stores.is_away = True
    done = await servers.sweeps.run_once()

    assert set(done.values()) == {0}
    assert servers.sweeps.failing == set(done) - {"sources"}  # off, so it asked nobody


def store_contents(servers: MemoryServers) -> dict[str, Any]:
    """Return everything stored, as plain documents."""
    return {
        "conversions": dict(servers.stores.conversions._conversions._documents),
        "files": dict(servers.stores.files._files._documents),
        "objects": {key: one for key, one in servers.objects._objects.items() if key.startswith("t/")},
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7 * DAY_S, "7 days"), (DAY_S, "24 hours"), (3600, "60 minutes"), (90, "90 seconds"), (0.5, "0.5 seconds")],
)
def test_spoken_when_told_then_as_people_say_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"orphan_age_s": 3600}, "CONVERTO_ORPHAN_AGE_S"),
        ({"media_timeout_s": 2 * DAY_S}, "CONVERTO_MEDIA_TIMEOUT_S"),
        ({"record_retention_s": 5, "deleted_file_outputs_after_s": 5}, "CONVERTO_RECORD_RETENTION_S"),
        ({"failure_retention_s": 0}, "failure_retention_s"),
    ],
)
def test_settings_that_delete_too_early_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Settings(**settings)


def test_every_rule_is_a_sweep_with_an_interval(servers: MemoryServers) -> None:
    listed = {sweep.name: sweep for sweep in servers.sweeps.all}

    assert set(servers.sweeps.retention) == {name for name, sweep in listed.items() if sweep.removals is not None}
    assert all(1 <= sweep.interval_s <= 600 for sweep in listed.values())
