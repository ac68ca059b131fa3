"""Objects and uploads that belong to nobody (behaviour I10), over memory twins; which bucket may be swept at all."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from converto_core.conversion.processing import claim
from converto_core.conversion.record import Status
from converto_core.files.record import FileStatus
from converto_core.ids import new_id
from converto_core.object_keys import OutputKey, SourceKey, output_key, parse_key, source_key
from converto_infra.memory.stores import MemoryStores
from file_service.housekeeping.retention.bucket_mark import KEY
from file_service.housekeeping.retention.orphans import PAGE, Orphans
from file_service.housekeeping.sweeps import Sweeps
from tests.unit.file_service.housekeeping.yard import DAY_S, OWNER, SETTINGS, Yard


@pytest.fixture
def yard() -> Yard:
    return Yard()


async def keys(yard: Yard) -> list[str]:
    return await yard.objects.list_keys("t/")


async def put(yard: Yard, key: str) -> str:
    await yard.objects.put(key, b"bytes", content_type="a/b")
    return key


# Keys


def test_place_when_a_key_is_ours_then_it_says_what_was_put_in() -> None:
    file_id, record_id = new_id(), new_id()

    assert parse_key(source_key("ann/b", file_id, 3)) == SourceKey(owner="ann/b", file_id=file_id, version=3)
    place = OutputKey(owner="ann", conversion_id=record_id, token=2)
    assert parse_key(f"t/ann/out/{record_id}/2/page-00001.png") == place


@pytest.mark.parametrize(
    "key",
    [
        "t/ann/out/not-an-id/2/a.png",
        f"t/ann/out/{'0' * 8}-0000-0000-0000-{'0' * 12}/x/a.png",
        f"t/ann/out/{'0' * 8}-0000-0000-0000-{'0' * 12}/1/a/b.png",
        f"t/ann/in/{'0' * 8}-0000-0000-0000-{'0' * 12}/1/other",
        f"x/ann/in/{'0' * 8}-0000-0000-0000-{'0' * 12}/1/source",
        "converto/database",
    ],
)
def test_place_when_a_key_has_another_shape_then_none(key: str) -> None:
    assert parse_key(key) is None


# Results


async def test_orphans_when_there_is_no_such_conversion_then_they_go_after_a_day(yard: Yard) -> None:
    key = await put(yard, f"t/{OWNER}/out/{new_id()}/1/result.pdf")
    yard.passed_s += DAY_S
    early = (await yard.sweep("orphans"), await keys(yard))
    yard.passed_s += 0.002
    late = (await yard.sweep("orphans"), await keys(yard))

    assert (early, late) == ((0, [key]), (1, []))


async def test_orphans_when_a_fenced_worker_left_them_beside_results_then_only_these_go(yard: Yard) -> None:
    record = await yard.add_completed(token=2)
    await yard.add_output(record, token=1)
    await yard.add_output(record, token=2, name="half-written.pdf")
    yard.passed_s += DAY_S + 1

    assert await yard.sweep("orphans") == 2
    assert await keys(yard) == [record.outputs[0].key]


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING, Status.AWAITING_UPLOAD])
async def test_orphans_when_the_conversion_is_alive_then_its_token_is_safe_however_old(
    yard: Yard, status: Status
) -> None:
    """A conversion of six hours uploads its first page long before it completes."""
    record = await yard.add(status, token=2)
    await yard.add_output(record, token=1)
    mine = await yard.add_output(record, token=2)
    yard.passed_s += 30 * DAY_S

    assert await yard.sweep("orphans") == 1
    assert await keys(yard) == [mine]


async def test_orphans_when_a_newer_token_than_the_record_read_has_them_then_they_stay(yard: Yard) -> None:
    record = await yard.add(Status.FAILED, token=1)
    old, new = await yard.add_output(record, token=1), await yard.add_output(record, token=2)
    yard.passed_s += DAY_S + 1

    assert [one.id for one in await yard.told("orphans")] == [old]
    assert await yard.sweep("orphans") == 1
    assert await keys(yard) == [new]


async def test_orphans_when_the_conversion_is_anothers_then_they_go(yard: Yard) -> None:
    record = await yard.add_completed()
    await put(yard, f"t/bob/out/{record.id}/2/result.pdf")
    yard.passed_s += DAY_S + 1

    assert await yard.sweep("orphans") == 1
    assert await keys(yard) == [record.outputs[0].key]


async def test_orphans_when_a_key_is_not_ours_then_it_is_left_alone(yard: Yard) -> None:
    strangers = ["t/ann/notes.txt", "t/ann/out/backup.zip", "other/thing"]
    for key in strangers:
        await put(yard, key)
    yard.passed_s += 300 * DAY_S

    assert await yard.sweep("orphans") == 0
    assert [*await keys(yard), *await yard.objects.list_keys("other/")] == [*sorted(strangers[:2]), "other/thing"]


async def test_orphans_when_a_conversion_is_claimed_while_they_are_looked_at_then_its_objects_stay(yard: Yard) -> None:
    record = await yard.add(Status.PENDING, publish_due=1)
    claimed = await yard.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=yard.now_ms()))
    assert claimed is not None
    key = await put(yard, output_key(claimed, "result.pdf"))
    yard.passed_s += DAY_S + 1

    assert await yard.sweep("orphans") == 0
    assert await keys(yard) == [key]


# Sources


async def test_orphans_when_a_source_has_no_file_or_a_deleted_one_then_it_goes(yard: Yard) -> None:
    living = [await yard.add_file(status) for status in (FileStatus.UPLOADED, FileStatus.AWAITING_UPLOAD)]
    deleted = await yard.add_file(FileStatus.DELETED)
    for file in (*living, deleted):
        await put(yard, file.key)
    await put(yard, source_key(OWNER, new_id(), 1))
    yard.passed_s += DAY_S + 1

    assert await yard.sweep("orphans") == 2
    assert await keys(yard) == sorted(file.key for file in living)


async def test_orphans_when_an_old_source_was_deleted_just_now_then_its_bytes_wait_a_day(yard: Yard) -> None:
    """The sweep of unused sources may still take the deletion back."""
    file = await yard.add_file(FileStatus.DELETED, updated_at=yard.now_ms() + int(3 * DAY_S * 1000))
    await put(yard, file.key)
    yard.passed_s += 3 * DAY_S + 1
    early = await yard.sweep("orphans")
    yard.passed_s += DAY_S

    assert (early, await yard.sweep("orphans")) == (0, 1)


# The walk


async def test_orphans_when_the_bucket_is_large_then_a_sweep_looks_at_some_pages_and_the_next_goes_on(
    yard: Yard,
) -> None:
    for _ in range(3 * PAGE + 5):
        await put(yard, f"t/{OWNER}/out/{new_id()}/1/a")
    yard.passed_s += DAY_S + 1
    orphans = Orphans(
        yard.stores.conversions,
        yard.stores.files,
        yard.objects,
        yard.sweeps.retention["orphans"]._rule._mark,  # type: ignore[attr-defined]
        age_s=DAY_S,
        pages_per_sweep=2,
    )

    async def sweep() -> int:
        return sum([await one.go() async for one in orphans.departures(yard.now_ms())])

    assert [await sweep() for _ in range(3)] == [2 * PAGE, PAGE + 5, 0]


async def test_orphans_when_the_walk_is_interrupted_then_it_goes_on_at_the_same_page(yard: Yard) -> None:
    await put(yard, f"t/{OWNER}/out/{new_id()}/1/a")
    yard.passed_s += DAY_S + 1
    yard.stores.is_away = True
    during = await yard.sweeps.once()
    yard.stores.is_away = False

    assert (during["orphans"], await yard.sweep("orphans")) == (0, 1)


# Whose bucket


async def test_orphans_when_the_database_is_another_one_then_nothing_goes_and_it_is_said_once(yard: Yard) -> None:
    """An empty or wrong database would make an orphan of everything."""
    record = await yard.add_completed()
    await yard.sweep("orphans")
    strange = Sweeps(SETTINGS, MemoryStores(), yard.objects, yard.bus, now_ms=yard.now_ms)
    yard.passed_s += 3 * DAY_S
    with capture_logs() as said:
        done = [await strange.retention[name].sweep() for name in ("orphans", "open_uploads", "orphans")]
    told = [event for event in said if event["event"] == "bucket.belongs_to_another_database"]

    assert done == [0, 0, 0]
    assert len(told) == 1 and KEY in told[0]["hint"]
    assert await keys(yard) == [record.outputs[0].key]


async def test_orphans_when_the_mark_is_deleted_by_hand_then_the_next_sweep_takes_the_bucket(yard: Yard) -> None:
    await yard.sweep("orphans")
    await yard.objects.delete([KEY])
    other = Sweeps(SETTINGS, MemoryStores(), yard.objects, yard.bus, now_ms=yard.now_ms)
    await put(yard, f"t/{OWNER}/out/{new_id()}/1/a")
    yard.passed_s += DAY_S + 1

    assert await other.retention["orphans"].sweep() == 1
    assert await yard.sweep("orphans") == 0


# Unfinished uploads


async def begin(yard: Yard, key: str) -> str:
    upload_id = await yard.objects.start_multipart(key, content_type="a/b")
    (part,) = await yard.objects.presign_parts(key, upload_id, [1])
    await yard.objects.send(part, b"part")
    return upload_id


async def open_keys(yard: Yard) -> list[str]:
    page = await yard.objects.list_uploads("", after=None, limit=1000)
    assert page is not None
    return [upload.key for upload in page.uploads]


async def test_open_uploads_when_no_file_waits_for_them_then_they_are_aborted_after_the_deadline(yard: Yard) -> None:
    await begin(yard, source_key(OWNER, new_id(), 1))
    yard.passed_s += DAY_S
    early = await yard.sweep("open_uploads")
    yard.passed_s += 1
    (told,) = await yard.told("open_uploads")

    assert (early, await yard.sweep("open_uploads")) == (0, 1)
    assert told.size_bytes == 4
    assert await open_keys(yard) == []


@pytest.mark.parametrize(
    ("fields", "stays"),
    [
        ({}, True),
        ({"upload_id": "a later one"}, False),
        ({"status": FileStatus.DELETED}, False),
        ({"status": FileStatus.UPLOADED}, False),
        ({"owner": "bob"}, False),
    ],
    ids=["waits", "waits for another", "deleted", "uploaded", "of another owner"],
)
async def test_open_uploads_when_a_file_is_there_then_only_the_one_it_waits_for_stays(
    yard: Yard, fields: dict[str, Any], stays: bool
) -> None:
    file_id = new_id()
    key = source_key(OWNER, file_id, 1)
    upload_id = await begin(yard, key)
    start = {"id": file_id, "upload_id": upload_id, "part_size_bytes": 5, "status": FileStatus.AWAITING_UPLOAD}
    await yard.add_file(**{**start, **fields})
    yard.passed_s += DAY_S + 1

    assert await yard.sweep("open_uploads") == (0 if stays else 1)


@pytest.mark.parametrize(
    ("status", "token", "stays"),
    [(Status.PROCESSING, 2, True), (Status.PROCESSING, 3, False), (Status.FAILED, 2, False)],
    ids=["its worker uploads", "another worker has it", "over"],
)
async def test_open_uploads_when_a_worker_began_them_then_only_the_living_one_stays(
    yard: Yard, status: Status, token: int, stays: bool
) -> None:
    """A worker that is killed in the middle of a large result leaves its parts behind."""
    record = await yard.add(status, token=token)
    await begin(yard, f"t/{OWNER}/out/{record.id}/2/result.mp4")
    yard.passed_s += DAY_S + 1

    assert await yard.sweep("open_uploads") == (0 if stays else 1)


async def test_open_uploads_when_the_key_is_not_ours_then_they_stay(yard: Yard) -> None:
    await begin(yard, "t/somebody/else")
    yard.passed_s += 99 * DAY_S

    assert await yard.sweep("open_uploads") == 0
    assert await open_keys(yard) == ["t/somebody/else"]


async def test_open_uploads_when_the_store_cannot_list_them_then_it_is_said_once_and_the_rest_goes_on(
    yard: Yard,
) -> None:
    yard.objects.can_list_uploads = False
    await put(yard, f"t/{OWNER}/out/{new_id()}/1/a")
    yard.passed_s += DAY_S + 1
    with capture_logs() as said:
        first, second = await yard.sweeps.once(), await yard.sweeps.once()

    assert (first["open_uploads"], first["orphans"], second["orphans"]) == (0, 1, 0)
    assert [event["event"] for event in said].count("uploads.cannot_be_listed") == 1
