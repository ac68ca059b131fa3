"""What goes by age (behaviour I10), over memory twins: records with objects, at the boundary, never too much."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from converto_core.access import RememberedAnswer
from converto_core.conversion.history import entry_of
from converto_core.conversion.record import Appended, Conversion, Status, Step
from converto_core.conversion.transitions import retry
from converto_core.errors import ObjectStoreUnavailable
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_infra.settings import Settings
from file_service.housekeeping.retention.removal import BATCH, spoken
from tests.unit.file_service.housekeeping.yard import DAY_S, OWNER, SETTINGS, Yard

ENDED = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
ALIVE = (Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING)


@pytest.fixture
def yard() -> Yard:
    return Yard()


def changed(**settings: Any) -> Yard:
    return Yard(Settings(**{**SETTINGS.model_dump(exclude_unset=True), **settings}))


async def exists(yard: Yard, record: Conversion) -> bool:
    return await yard.stores.conversions.get(record.id) is not None


async def file_of(yard: Yard, file: File) -> File | None:
    return await yard.stores.files.get(file.id)


# Failures


@pytest.mark.parametrize("status", ENDED)
async def test_failures_when_a_week_old_then_record_and_objects_go(yard: Yard, status: Status) -> None:
    """I10: failed conversions older than 7 days; one millisecond before it is too early."""
    code = "upload_abandoned" if status is Status.EXPIRED else None
    record = await yard.add(status, token=2, completed_at=yard.now_ms(), error_code=code)
    for token in (1, 2):
        await yard.add_output(record, token=token)
    yard.passed_s += 7 * DAY_S
    early = await yard.sweep("failures")
    yard.passed_s += 0.002
    late = await yard.sweep("failures")

    assert (early, late) == (0, 1)
    assert not await exists(yard, record)
    assert await yard.objects.list_keys("t/") == []


@pytest.mark.parametrize("status", [*ALIVE, Status.COMPLETED])
async def test_failures_when_it_is_alive_or_has_results_then_it_stays_however_old(yard: Yard, status: Status) -> None:
    record = await yard.add(status, completed_at=1, updated_at=1, created_at=1)
    yard.passed_s += 400 * DAY_S
    for name in ("failures", "records"):
        assert await yard.sweep(name) == 0

    assert await exists(yard, record)


async def test_failures_when_a_user_tries_it_again_in_between_then_it_lives(yard: Yard) -> None:
    """Promise 1: found as failed, retried before it goes, so it does not go, nor do its objects."""
    record = await yard.add(Status.FAILED, token=1, completed_at=yard.now_ms())
    key = await yard.add_output(record)
    yard.passed_s += 8 * DAY_S
    (departure,) = [one async for one in yard.sweeps.retention["failures"].departures()]
    again = retry(
        record, source_format="txt", plan=(Step("fake", "txt", "pdf"),), family=Family.OFFICE, now_ms=yard.now_ms()
    )
    assert await yard.stores.conversions.apply(again)

    assert await departure.go() == 0
    assert (await yard.look(record)).status is Status.PENDING
    assert await yard.objects.list_keys("t/") == [key]


async def test_failures_when_they_expired_after_success_then_the_second_retention_counts(yard: Yard) -> None:
    """The record of an expired result tells for 30 days more what there was."""
    record = await yard.add_completed()
    yard.passed_s += 7 * DAY_S + 1
    await yard.sweep("results")
    yard.passed_s += 30 * DAY_S
    assert (await yard.sweep("failures"), await yard.sweep("records")) == (0, 0)
    yard.passed_s += 1

    assert await yard.sweep("records") == 1
    assert not await exists(yard, record)


async def test_records_when_the_expiry_came_late_then_they_stay_for_the_whole_second_retention(yard: Yard) -> None:
    record = await yard.add_completed()
    yard.passed_s += 100 * DAY_S  # nobody swept
    await yard.sweep("results")
    yard.passed_s += 30 * DAY_S
    early = await yard.sweep("records")
    yard.passed_s += 1

    assert (early, await yard.sweep("records")) == (0, 1)
    assert not await exists(yard, record)


async def test_failures_when_there_are_many_of_one_millisecond_then_all_go(yard: Yard) -> None:
    """Pages go by time; more of one time than a page holds must not stop them, nor hide what comes after."""
    for number in range(2 * BATCH + 7):
        await yard.add(Status.FAILED, completed_at=yard.now_ms() + number // (2 * BATCH))
    yard.passed_s += 8 * DAY_S
    told = await yard.told("failures")

    assert len({one.id for one in told}) == len(told) == 2 * BATCH + 7
    assert await yard.sweep("failures") == 2 * BATCH + 7


# Results of deleted files


async def test_deleted_outputs_when_the_source_was_deleted_a_day_ago_then_results_expire(yard: Yard) -> None:
    """I10: outputs of deleted files; who deletes a source right after the conversion still gets the result."""
    file, kept = await yard.add_file(FileStatus.DELETED), await yard.add_file(FileStatus.UPLOADED)
    gone, stays = await yard.add_completed(file_id=file.id), await yard.add_completed(file_id=kept.id)
    yard.passed_s += DAY_S
    early = await yard.sweep("deleted_outputs")
    yard.passed_s += 1
    late = await yard.sweep("deleted_outputs")

    assert (early, late) == (0, 1)
    assert ((await yard.look(gone)).status, (await yard.look(stays)).status) == (Status.EXPIRED, Status.COMPLETED)
    assert await yard.objects.list_keys("t/") == [stays.outputs[0].key]


async def test_deleted_outputs_when_a_conversion_completes_after_the_deletion_then_a_later_sweep_takes_it(
    yard: Yard,
) -> None:
    file = await yard.add_file(FileStatus.DELETED)
    yard.passed_s += DAY_S + 1
    assert await yard.sweep("deleted_outputs") == 0
    late = await yard.add_completed(file_id=file.id)

    assert await yard.sweep("deleted_outputs") == 1
    assert (await yard.look(late)).status is Status.EXPIRED


# Files


async def test_files_when_deleted_a_month_ago_then_the_record_goes(yard: Yard) -> None:
    deleted = await yard.add_file(FileStatus.DELETED)
    others = [await yard.add_file(status) for status in (FileStatus.UPLOADED, FileStatus.AWAITING_UPLOAD)]
    yard.passed_s += 30 * DAY_S
    early = await yard.sweep("files")
    yard.passed_s += 1

    assert (early, await yard.sweep("files")) == (0, 1)
    assert await file_of(yard, deleted) is None
    assert [await file_of(yard, one) for one in others] == others


async def uploaded(yard: Yard) -> File:
    file = await yard.add_file(FileStatus.UPLOADED)
    await yard.objects.put(file.key, b"abc", content_type="text/plain")
    return file


async def test_sources_when_no_retention_is_set_then_they_stay_for_ever(yard: Yard) -> None:
    file = await uploaded(yard)
    yard.passed_s += 4000 * DAY_S

    assert await yard.sweep("sources") == 0
    assert await file_of(yard, file) == file


async def test_sources_when_nobody_needs_them_then_bytes_go_and_the_record_is_deleted() -> None:
    yard = changed(source_retention_s=3 * DAY_S)
    file, expired = await uploaded(yard), await uploaded(yard)
    await yard.add(Status.EXPIRED, file_id=expired.id)
    yard.passed_s += 3 * DAY_S
    early = await yard.sweep("sources")
    yard.passed_s += 1

    assert (early, await yard.sweep("sources")) == (0, 2)
    assert await yard.objects.list_keys("t/") == []
    for one in (file, expired):
        now = await file_of(yard, one)
        assert now is not None and now.status is FileStatus.DELETED


@pytest.mark.parametrize("status", [*ALIVE, Status.COMPLETED, Status.FAILED, Status.CANCELLED])
async def test_sources_when_a_conversion_needs_them_then_they_stay(status: Status) -> None:
    """A failed one may be tried again, and the results of a completed one would follow a deleted source."""
    yard = changed(source_retention_s=3 * DAY_S)
    file = await uploaded(yard)
    await yard.add(status, file_id=file.id, completed_at=yard.now_ms() + int(4 * DAY_S * 1000))
    yard.passed_s += 4 * DAY_S

    assert await yard.sweep("sources") == 0
    assert await yard.objects.list_keys("t/") == [file.key]


async def test_sources_when_a_living_conversion_joins_them_then_they_stay() -> None:
    yard = changed(source_retention_s=3 * DAY_S)
    joined, other = await uploaded(yard), await uploaded(yard)
    await yard.add(Status.PENDING, appended=(Appended(joined.id, 1),))
    yard.passed_s += 4 * DAY_S

    assert await yard.sweep("sources") == 1
    assert await file_of(yard, joined) == joined
    assert await file_of(yard, other) != other


async def test_sources_when_a_conversion_is_made_in_the_last_moment_then_the_file_comes_back() -> None:
    """Promise 1: no accepted conversion loses its source to housekeeping."""
    yard = changed(source_retention_s=3 * DAY_S)
    file = await uploaded(yard)
    yard.passed_s += 4 * DAY_S
    (departure,) = [one async for one in yard.sweeps.retention["sources"].departures()]
    await yard.add(Status.PENDING, file_id=file.id)

    assert await departure.go() == 0
    assert await file_of(yard, file) == file
    assert await yard.objects.list_keys("t/") == [file.key]


# Uploads


async def test_uploads_when_more_than_a_page_wait_for_the_file_service_then_later_ones_still_expire(
    yard: Yard,
) -> None:
    """What arrived unconfirmed stays where nobody can confirm; it must not hide what comes after it."""
    yard.confirm = None  # type: ignore[assignment, method-assign]
    sweeps = yard.another_process()
    file = await yard.add_file(FileStatus.AWAITING_UPLOAD)
    await yard.objects.put(file.key, b"abc", content_type="text/plain")
    for _ in range(BATCH + 1):
        await yard.add(Status.AWAITING_UPLOAD, file_id=file.id)
    yard.passed_s += 1
    never_came = await yard.add(Status.AWAITING_UPLOAD)
    yard.passed_s += DAY_S + 1

    assert await sweeps.uploads.sweep() == 1
    assert (await yard.look(never_came)).status is Status.EXPIRED


# Other records


async def test_answers_when_expired_then_forgotten(yard: Yard) -> None:
    answers = yard.stores.access
    now = yard.now_ms()
    for name, expires_at in (("old", now - 1), ("exactly now", now), ("young", now + 10)):
        answer = RememberedAnswer(id=f"{OWNER}:{name}", body_sha256="0", claimed_at=1, expires_at=expires_at)
        await answers.claim_answer(answer, stale_before_ms=0)

    assert await yard.sweep("answers") == 1
    left = await answers.old_answers.older_than(from_ms=0, before_ms=now + 99, limit=9)
    assert [one.id for one in left] == [f"{OWNER}:exactly now", f"{OWNER}:young"]


async def test_history_when_a_month_old_then_entries_go_in_batches(yard: Yard) -> None:
    """I10: old history."""
    old = [await yard.add(Status.FAILED, changes=number + 1) for number in range(BATCH + 3)]
    for record in old:
        yard.stores.history.record(entry_of(record))
    yard.passed_s += 30 * DAY_S
    early = await yard.sweep("history")
    yard.passed_s += 1
    young = await yard.add(Status.FAILED)
    yard.stores.history.record(entry_of(young))

    assert (early, await yard.sweep("history")) == (0, BATCH + 3)
    assert len(await yard.stores.history.of(young.id, owner=OWNER)) == 1


# Servers, clocks, several processes


async def test_failures_when_the_object_store_fails_after_the_record_went_then_orphans_are_found_later(
    yard: Yard,
) -> None:
    """I10: records first, objects after; what a crash leaves in between is an orphan."""
    record = await yard.add(Status.FAILED, token=1, completed_at=yard.now_ms())
    await yard.add_output(record)
    yard.passed_s += 8 * DAY_S
    delete = yard.objects.delete

    async def crash(keys: Any) -> None:
        raise ObjectStoreUnavailable(detail="the process is gone")

    yard.objects.delete = crash  # type: ignore[method-assign]
    with pytest.raises(ObjectStoreUnavailable):
        await yard.sweep("failures")
    yard.objects.delete = delete  # type: ignore[method-assign]

    assert not await exists(yard, record)
    assert await yard.sweep("failures") == 0
    assert await yard.sweep("orphans") == 1
    assert await yard.objects.list_keys("t/") == []


@pytest.mark.parametrize("jump_s", [3650 * DAY_S, -3650 * DAY_S])
async def test_retention_when_our_clock_jumps_then_nothing_goes(jump_s: float) -> None:
    """A clock that is ten years ahead must not delete everything: the object store's clock has to agree."""
    yard = changed(source_retention_s=DAY_S)
    await yard.add_completed()
    await yard.add(Status.FAILED, completed_at=yard.now_ms())
    await yard.add(Status.AWAITING_UPLOAD)
    await yard.add_file(FileStatus.DELETED)
    await uploaded(yard)
    start_ms = yard.now_ms()
    yard.objects._clock = lambda: start_ms
    yard.passed_s += jump_s
    before = store_contents(yard)
    done = await yard.sweeps.once()

    assert {name: count for name, count in done.items() if count} == {}
    assert store_contents(yard) == before


async def test_retention_when_the_store_lags_then_it_is_said_once(yard: Yard) -> None:
    start_ms = yard.now_ms()
    yard.objects._clock = lambda: start_ms
    yard.passed_s += DAY_S
    with capture_logs() as said:
        for _ in range(3):
            await yard.sweep("failures")

    assert [entry["event"] for entry in said] == ["clock.differs"]


async def test_everything_when_the_database_is_away_then_a_round_survives_and_says_what_failed(yard: Yard) -> None:
    yard.stores.is_away = True
    done = await yard.sweeps.once()

    assert set(done.values()) == {0}
    assert yard.sweeps.failing == set(done) - {"sources"}  # off, so it asked nobody


def store_contents(yard: Yard) -> dict[str, Any]:
    """All that the twins hold, as plain documents."""
    return {
        "conversions": dict(yard.stores.conversions._conversions._documents),
        "files": dict(yard.stores.files._files._documents),
        "objects": {key: one for key, one in yard.objects._objects.items() if key.startswith("t/")},
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7 * DAY_S, "7 days"), (DAY_S, "24 hours"), (3600, "60 minutes"), (90, "90 seconds"), (0.5, "0.5 seconds")],
)
def test_spoken_when_told_then_as_people_say_it(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"orphan_age_s": 3600}, "CONVERTO_ORPHAN_AGE_S"),
        ({"media_timeout_s": 2 * DAY_S}, "CONVERTO_MEDIA_TIMEOUT_S"),
        ({"record_retention_s": 5, "deleted_file_outputs_after_s": 5}, "CONVERTO_RECORD_RETENTION_S"),
        ({"failure_retention_s": 0}, "failure_retention_s"),
    ],
)
def test_settings_when_they_would_delete_too_early_then_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Settings(**settings)


def test_rules_when_listed_then_each_is_a_sweep_with_a_rhythm(yard: Yard) -> None:
    listed = {sweep.name: sweep for sweep in yard.sweeps.all}

    assert set(yard.sweeps.retention) == {name for name, sweep in listed.items() if sweep.departures is not None}
    assert all(1 <= sweep.interval_s <= 600 for sweep in listed.values())
