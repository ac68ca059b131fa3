"""Orphaned objects and unfinished uploads (behaviour I10), and which bucket may be swept."""

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
from file_service.housekeeping.retention.key_records import KeyRecords
from file_service.housekeeping.retention.orphans import PAGE, Orphans
from file_service.housekeeping.sweeps import Sweeps
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, OWNER, SETTINGS, MemoryServers


@pytest.fixture
def servers() -> MemoryServers:
    return MemoryServers()


async def keys(servers: MemoryServers) -> list[str]:
    return await servers.objects.list_keys("t/")


async def put(servers: MemoryServers, key: str) -> str:
    await servers.objects.put(key, b"bytes", content_type="a/b")
    return key


# Keys


def test_place_of_our_key_returns_its_parts() -> None:
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


async def test_output_without_conversion_is_removed_after_a_day(servers: MemoryServers) -> None:
    key = await put(servers, f"t/{OWNER}/out/{new_id()}/1/result.pdf")
    servers.passed_s += DAY_S
    early = (await servers.sweep("orphans"), await keys(servers))
    servers.passed_s += 0.002
    late = (await servers.sweep("orphans"), await keys(servers))

    assert (early, late) == ((0, [key]), (1, []))


async def test_leftovers_of_fenced_workers_are_removed_beside_outputs(servers: MemoryServers) -> None:
    record = await servers.add_completed(token=2)
    await servers.add_output(record, token=1)
    await servers.add_output(record, token=2, name="half-written.pdf")
    servers.passed_s += DAY_S + 1

    assert await servers.sweep("orphans") == 2
    assert await keys(servers) == [record.outputs[0].key]


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING, Status.AWAITING_UPLOAD])
async def test_objects_of_an_unfinished_conversion_stay_however_old(servers: MemoryServers, status: Status) -> None:
    """A six-hour conversion uploads its first page long before it completes."""
    record = await servers.add(status, token=2)
    await servers.add_output(record, token=1)
    mine = await servers.add_output(record, token=2)
    servers.passed_s += 30 * DAY_S

    assert await servers.sweep("orphans") == 1
    assert await keys(servers) == [mine]


async def test_objects_with_a_newer_token_stay(servers: MemoryServers) -> None:
    record = await servers.add(Status.FAILED, token=1)
    old, new = await servers.add_output(record, token=1), await servers.add_output(record, token=2)
    servers.passed_s += DAY_S + 1

    assert [one.id for one in await servers.listed("orphans")] == [old]
    assert await servers.sweep("orphans") == 1
    assert await keys(servers) == [new]


async def test_orphans_when_the_conversion_is_anothers_then_they_go(servers: MemoryServers) -> None:
    record = await servers.add_completed()
    await put(servers, f"t/bob/out/{record.id}/2/result.pdf")
    servers.passed_s += DAY_S + 1

    assert await servers.sweep("orphans") == 1
    assert await keys(servers) == [record.outputs[0].key]


async def test_foreign_keys_are_left_alone(servers: MemoryServers) -> None:
    strangers = ["t/ann/notes.txt", "t/ann/out/backup.zip", "other/thing"]
    for key in strangers:
        await put(servers, key)
    servers.passed_s += 300 * DAY_S

    assert await servers.sweep("orphans") == 0
    assert [*await keys(servers), *await servers.objects.list_keys("other/")] == [*sorted(strangers[:2]), "other/thing"]


async def test_objects_of_a_just_claimed_conversion_stay(
    servers: MemoryServers,
) -> None:
    record = await servers.add(Status.PENDING, publish_due=1)
    claimed = await servers.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=servers.now_ms()))
    assert claimed is not None
    key = await put(servers, output_key(claimed, "result.pdf"))
    servers.passed_s += DAY_S + 1

    assert await servers.sweep("orphans") == 0
    assert await keys(servers) == [key]


# Sources


async def test_source_without_file_or_with_deleted_file_is_removed(servers: MemoryServers) -> None:
    living = [await servers.add_file(status) for status in (FileStatus.UPLOADED, FileStatus.AWAITING_UPLOAD)]
    deleted = await servers.add_file(FileStatus.DELETED)
    for file in (*living, deleted):
        await put(servers, file.key)
    await put(servers, source_key(OWNER, new_id(), 1))
    servers.passed_s += DAY_S + 1

    assert await servers.sweep("orphans") == 2
    assert await keys(servers) == sorted(file.key for file in living)


async def test_source_of_a_just_deleted_file_stays_a_day(
    servers: MemoryServers,
) -> None:
    """The `sources` sweep may still undo the deletion."""
    file = await servers.add_file(FileStatus.DELETED, updated_at=servers.now_ms() + int(3 * DAY_S * 1000))
    await put(servers, file.key)
    servers.passed_s += 3 * DAY_S + 1
    early = await servers.sweep("orphans")
    servers.passed_s += DAY_S

    assert (early, await servers.sweep("orphans")) == (0, 1)


# The walk


async def test_large_bucket_is_walked_over_several_sweeps(
    servers: MemoryServers,
) -> None:
    for _ in range(3 * PAGE + 5):
        await put(servers, f"t/{OWNER}/out/{new_id()}/1/a")
    servers.passed_s += DAY_S + 1
    orphans = Orphans(
        KeyRecords(servers.stores.conversions, servers.stores.files),
        servers.objects,
        servers.sweeps.retention["orphans"]._rule._mark,  # type: ignore[attr-defined]
        age_s=DAY_S,
        pages_per_sweep=2,
    )

    async def sweep() -> int:
        return sum([await one.run() async for one in orphans.removals(servers.now_ms())])

    assert [await sweep() for _ in range(3)] == [2 * PAGE, PAGE + 5, 0]


async def test_interrupted_walk_resumes_at_the_same_page(servers: MemoryServers) -> None:
    await put(servers, f"t/{OWNER}/out/{new_id()}/1/a")
    servers.passed_s += DAY_S + 1
    servers.stores.is_away = True
    during = await servers.sweeps.run_once()
    servers.stores.is_away = False

    assert (during["orphans"], await servers.sweep("orphans")) == (0, 1)


# Whose bucket


async def test_bucket_of_another_database_is_untouched_and_logged_once(
    servers: MemoryServers,
) -> None:
    """With an empty or wrong database, every object would be an orphan."""
    record = await servers.add_completed()
    await servers.sweep("orphans")
    strange = Sweeps(SETTINGS, MemoryStores(), servers.objects, servers.bus, now_ms=servers.now_ms)
    servers.passed_s += 3 * DAY_S
    with capture_logs() as logged:
        done = [await strange.retention[name].sweep() for name in ("orphans", "open_uploads", "orphans")]
    reported = [event for event in logged if event["event"] == "bucket.belongs_to_another_database"]

    assert done == [0, 0, 0]
    assert len(reported) == 1 and KEY in reported[0]["hint"]
    assert await keys(servers) == [record.outputs[0].key]


async def test_bucket_without_mark_is_claimed_by_the_next_sweep(
    servers: MemoryServers,
) -> None:
    await servers.sweep("orphans")
    await servers.objects.delete([KEY])
    other = Sweeps(SETTINGS, MemoryStores(), servers.objects, servers.bus, now_ms=servers.now_ms)
    await put(servers, f"t/{OWNER}/out/{new_id()}/1/a")
    servers.passed_s += DAY_S + 1

    assert await other.retention["orphans"].sweep() == 1
    assert await servers.sweep("orphans") == 0


# Unfinished uploads


async def start_upload(servers: MemoryServers, key: str) -> str:
    upload_id = await servers.objects.start_multipart(key, content_type="a/b")
    (part,) = await servers.objects.presign_parts(key, upload_id, [1])
    await servers.objects.send(part, b"part")
    return upload_id


async def open_keys(servers: MemoryServers) -> list[str]:
    page = await servers.objects.list_uploads("", after=None, limit=1000)
    assert page is not None
    return [upload.key for upload in page.uploads]


async def test_upload_without_file_is_aborted_after_the_deadline(
    servers: MemoryServers,
) -> None:
    await start_upload(servers, source_key(OWNER, new_id(), 1))
    servers.passed_s += DAY_S
    early = await servers.sweep("open_uploads")
    servers.passed_s += 1
    (reported,) = await servers.listed("open_uploads")

    assert (early, await servers.sweep("open_uploads")) == (0, 1)
    assert reported.size_bytes == 4
    assert await open_keys(servers) == []


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
async def test_only_the_upload_its_file_waits_for_stays(
    servers: MemoryServers, fields: dict[str, Any], stays: bool
) -> None:
    file_id = new_id()
    key = source_key(OWNER, file_id, 1)
    upload_id = await start_upload(servers, key)
    start = {"id": file_id, "upload_id": upload_id, "part_size_bytes": 5, "status": FileStatus.AWAITING_UPLOAD}
    await servers.add_file(**{**start, **fields})
    servers.passed_s += DAY_S + 1

    assert await servers.sweep("open_uploads") == (0 if stays else 1)


@pytest.mark.parametrize(
    ("status", "token", "stays"),
    [(Status.PROCESSING, 2, True), (Status.PROCESSING, 3, False), (Status.FAILED, 2, False)],
    ids=["its worker uploads", "another worker has it", "over"],
)
async def test_only_the_upload_of_the_running_worker_stays(
    servers: MemoryServers, status: Status, token: int, stays: bool
) -> None:
    """A worker killed during the upload of a large output leaves its parts behind."""
    record = await servers.add(status, token=token)
    await start_upload(servers, f"t/{OWNER}/out/{record.id}/2/result.mp4")
    servers.passed_s += DAY_S + 1

    assert await servers.sweep("open_uploads") == (0 if stays else 1)


async def test_upload_under_a_foreign_key_stays(servers: MemoryServers) -> None:
    await start_upload(servers, "t/somebody/else")
    servers.passed_s += 99 * DAY_S

    assert await servers.sweep("open_uploads") == 0
    assert await open_keys(servers) == ["t/somebody/else"]


async def test_store_that_cannot_list_uploads_is_logged_once(
    servers: MemoryServers,
) -> None:
    servers.objects.can_list_uploads = False
    await put(servers, f"t/{OWNER}/out/{new_id()}/1/a")
    servers.passed_s += DAY_S + 1
    with capture_logs() as logged:
        first, second = await servers.sweeps.run_once(), await servers.sweeps.run_once()

    assert (first["open_uploads"], first["orphans"], second["orphans"]) == (0, 1, 0)
    assert [event["event"] for event in logged].count("uploads.cannot_be_listed") == 1
