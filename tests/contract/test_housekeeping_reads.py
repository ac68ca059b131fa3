"""The contract for housekeeping: records and objects by age, page by page, and conditional deletion."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from pydantic import SecretStr

from converto_core.access import RememberedAnswer
from converto_core.conversion.record import Status
from converto_core.files.record import FileStatus
from converto_core.ids import new_id
from converto_core.ports.objects import ObjectStore
from converto_infra.memory.stores import MemoryObjectStore
from converto_infra.s3.bucket import Bucket
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings
from tests.contract.samples import NOW_MS, Stores, a_conversion, a_file, a_running_conversion, send

SKEW_MS = 5_000


def a_failed_conversion(completed_at: int, **fields: Any) -> Any:
    return a_conversion(status=Status.FAILED, completed_at=completed_at, updated_at=completed_at, **fields)


async def test_ended_lists_one_status_of_a_period_oldest_first(stores: Stores) -> None:
    """I10: retention reads a period and never scans everything."""
    old, older = a_failed_conversion(NOW_MS - 1), a_failed_conversion(NOW_MS - 2, error_code="x")
    others = (
        a_failed_conversion(NOW_MS),
        a_failed_conversion(NOW_MS - 11),
        a_conversion(status=Status.CANCELLED, completed_at=NOW_MS - 1),
        a_running_conversion(),
    )
    for one in (old, older, *others):
        await stores.conversions.insert(one)

    found = await stores.conversions.ended(Status.FAILED, from_ms=NOW_MS - 10, before_ms=NOW_MS, limit=10)
    first = await stores.conversions.ended(Status.FAILED, from_ms=NOW_MS - 10, before_ms=NOW_MS, limit=1)
    with_code = await stores.conversions.ended(Status.FAILED, from_ms=0, before_ms=NOW_MS, limit=9, error_code="x")

    assert found == [older, old]
    assert (first, with_code) == ([older], [older])


async def test_get_many_leaves_out_missing_records(stores: Stores) -> None:
    one, two, file = a_conversion(), a_conversion(), a_file(status=FileStatus.DELETED)
    await stores.conversions.insert(one)
    await stores.conversions.insert(two)
    await stores.files.insert(file)

    found = await stores.conversions.get_many([one.id, new_id(), two.id])

    assert {conversion.id for conversion in found} == {one.id, two.id}
    assert await stores.conversions.get_many([]) == []
    assert await stores.files.get_many([new_id(), file.id]) == [file]
    assert await stores.files.get_many([]) == []


async def test_count_by_file_counts_only_the_given_statuses(stores: Stores) -> None:
    for file_id, status in (("a", Status.COMPLETED), ("a", Status.COMPLETED), ("a", Status.FAILED), ("b", "expired")):
        await stores.conversions.insert(a_conversion(file_id=file_id, status=Status(status)))

    found = await stores.conversions.count_by_file(["a", "b", "c"], {Status.COMPLETED})

    assert found == {"a": 2}
    assert await stores.conversions.count_by_file([], {Status.COMPLETED}) == {}


@pytest.mark.parametrize(
    "since", [{"status": Status.PENDING}, {"token": 1}, {"updated_at": NOW_MS}], ids=["status", "token", "time"]
)
async def test_delete_unchanged_keeps_a_changed_conversion(stores: Stores, since: dict[str, Any]) -> None:
    """I10: housekeeping never deletes what a user has just retried."""
    seen = a_failed_conversion(NOW_MS - 2)
    now = msgspec.structs.replace(seen, **since)
    await stores.conversions.insert(now)

    assert not await stores.conversions.delete_unchanged(seen)
    assert await stores.conversions.get(seen.id) == now


async def test_only_one_of_ten_concurrent_deletes_succeeds(stores: Stores) -> None:
    """I10: safe with several instances."""
    ended, running = a_failed_conversion(NOW_MS - 2), a_running_conversion()
    await stores.conversions.insert(ended)
    await stores.conversions.insert(running)

    results = await asyncio.gather(*(stores.conversions.delete_unchanged(ended) for _ in range(10)))

    assert results.count(True) == 1
    assert await stores.conversions.get(ended.id) is None
    assert not await stores.conversions.delete_unchanged(running)
    assert await stores.conversions.get(running.id) == running


async def test_unchanged_files_come_longest_unchanged_first(stores: Stores) -> None:
    gone = {"status": FileStatus.DELETED}
    old, older = a_file(updated_at=NOW_MS - 1, **gone), a_file(updated_at=NOW_MS - 2, **gone)
    for one in (old, older, a_file(**gone), a_file(updated_at=NOW_MS - 1), a_file(updated_at=NOW_MS - 11, **gone)):
        await stores.files.insert(one)

    found = await stores.files.unchanged(FileStatus.DELETED, from_ms=NOW_MS - 10, before_ms=NOW_MS, limit=10)

    assert found == [older, old]


async def test_delete_unchanged_keeps_a_live_or_changed_file(stores: Stores) -> None:
    living, deleted = a_file(status=FileStatus.UPLOADED), a_file(status=FileStatus.DELETED)
    for one in (living, deleted):
        await stores.files.insert(one)

    assert not await stores.files.delete_unchanged(living)
    assert not await stores.files.delete_unchanged(msgspec.structs.replace(deleted, updated_at=NOW_MS - 1))
    assert await stores.files.delete_unchanged(deleted)
    assert not await stores.files.delete_unchanged(deleted)
    assert await stores.files.get(living.id) == living


async def test_expired_answers_are_deleted_unless_renewed(stores: Stores) -> None:
    """I10: remembered answers are deleted after they expire."""
    for answer_id, expires_at in (("a:1", NOW_MS - 2), ("a:2", NOW_MS - 1), ("a:3", NOW_MS)):
        answer = RememberedAnswer(id=answer_id, body_sha256="0", claimed_at=NOW_MS - 9, expires_at=expires_at)
        assert await stores.access.claim_answer(answer, stale_before_ms=0) == answer
    old = stores.access.old_answers

    found = await old.older_than(from_ms=0, before_ms=NOW_MS, limit=10)
    renewed = RememberedAnswer(id="a:2", body_sha256="0", claimed_at=NOW_MS, expires_at=NOW_MS + 9, status=201)
    await stores.access.remember_answer(renewed)
    deleted = await old.delete_older([one.id for one in found], before_ms=NOW_MS)

    assert [(one.id, one.since) for one in found] == [("a:1", NOW_MS - 2), ("a:2", NOW_MS - 1)]
    assert deleted == 1
    assert await old.older_than(from_ms=0, before_ms=NOW_MS, limit=10) == []
    assert [one.id for one in await old.older_than(from_ms=0, before_ms=NOW_MS + 99, limit=1)] == ["a:3"]


async def test_identity_is_stable_under_concurrency(stores: Stores) -> None:
    answers = await asyncio.gather(*(stores.identity() for _ in range(10)))

    assert len(set(answers)) == 1
    assert answers[0]


async def test_pages_list_every_object_once(
    objects: ObjectStore,
) -> None:
    """I10: the bucket is walked page by page."""
    folder = f"t/ann/out/{new_id()}/"
    before_ms = await objects.now_ms()
    for number in range(5):
        await objects.put(f"{folder}{number % 2}/{number}", b"x" * number, content_type="a/b")

    first = await objects.list_page(folder, after=None, limit=2)
    second = await objects.list_page(folder, after=first.after, limit=2)
    third = await objects.list_page(folder, after=second.after, limit=2)

    seen = [*first.objects, *second.objects, *third.objects]
    assert [one.key.removeprefix(folder) for one in seen] == ["0/0", "0/2", "0/4", "1/1", "1/3"]
    assert [one.size_bytes for one in seen] == [0, 2, 4, 1, 3]
    assert all(abs(one.modified_at - before_ms) < SKEW_MS for one in seen)
    assert third.after is None


async def test_page_below_an_empty_prefix_is_empty_and_last(objects: ObjectStore) -> None:
    folder = f"t/ann/out/{new_id()}/"
    await objects.put(f"{folder}a", b"x", content_type="a/b")

    for page in (
        await objects.list_page(f"t/ann/out/{new_id()}/", after=None, limit=2),
        await objects.list_page(folder, after=f"{folder}a", limit=1),
    ):
        assert (page.objects, page.after) == ((), None)


async def test_open_uploads_are_listed_until_completed_or_aborted(objects: ObjectStore) -> None:
    """I10, C7: abandoned multipart uploads are found."""
    folder = f"t/ann/in/{new_id()}/"
    keys = [f"{folder}{number}/source" for number in (1, 2, 3)]
    begun = {key: await objects.start_multipart(key, content_type="a/b") for key in keys}
    (request,) = await objects.presign_parts(keys[2], begun[keys[2]], [1])
    await send(objects, request, os.urandom(9))
    page = await objects.list_uploads(folder, after=None, limit=1000)
    await objects.abort_multipart(keys[0], begun[keys[0]])
    await objects.complete_multipart(keys[2], begun[keys[2]], await objects.list_parts(keys[2], begun[keys[2]]))
    after = await objects.list_uploads(folder, after=None, limit=1000)

    assert page is not None and after is not None
    assert {one.key: one.upload_id for one in page.uploads} == begun
    assert abs(page.uploads[0].started_at - await objects.now_ms()) < SKEW_MS
    assert page.after is None
    assert [one.key for one in after.uploads] == [keys[1]]


async def test_upload_pages_list_each_upload_once(objects: ObjectStore) -> None:
    folder = f"t/ann/in/{new_id()}/"
    for number in range(3):
        await objects.start_multipart(f"{folder}{number}/source", content_type="a/b")

    seen, after = list[str](), None
    for _ in range(4):
        page = await objects.list_uploads(folder, after=after, limit=2)
        assert page is not None
        seen += [one.key.removeprefix(folder) for one in page.uploads]
        if (after := page.after) is None:
            break

    assert sorted(seen) == ["0/source", "1/source", "2/source"]


async def test_uploads_are_none_if_the_store_cannot_list_them() -> None:
    store = MemoryObjectStore()
    store.can_list_uploads = False

    assert await store.list_uploads("t/", after=None, limit=10) is None


async def test_uploads_of_a_fresh_bucket_are_an_empty_page(
    server_settings: Callable[..., Settings],
) -> None:
    fresh = S3ObjectStore.connect(server_settings(s3_bucket=f"fresh-{new_id()}"))
    await fresh.ensure_bucket()

    page = await fresh.list_uploads("t/", after=None, limit=10)

    assert page is not None
    assert (page.uploads, page.after) == ((), None)
    await fresh.close()


@pytest.mark.parametrize("code", ["NotImplemented", "MethodNotAllowed"])
def test_only_a_refused_upload_listing_means_none(code: str) -> None:
    bucket = Bucket(Settings(s3_access_key_id="k", s3_secret_access_key=SecretStr("s")))
    with Stubber(bucket._s3) as server:
        server.add_client_error("list_multipart_uploads", service_error_code=code)
        server.add_client_error("list_multipart_uploads", service_error_code="AccessDenied")

        assert bucket.list_uploads("t/", None, 10) is None
        with pytest.raises(ClientError):
            bucket.list_uploads("t/", None, 10)
