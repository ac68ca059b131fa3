"""The contracts of `FileStore`, `WorkerStore` and `AccessStore`."""

import asyncio
from typing import Any

import msgspec
import pytest

from converto_core.access import ApiKey, NewIds, RememberedAnswer, hash_secret
from converto_core.catalogue import NotAnswering, Offer, Slot, Worker
from converto_core.errors import DuplicateKey
from converto_core.files.record import FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id
from tests.contract.samples import NOW_MS, Stores, a_file


def a_worker(worker_id: str, *, seen_at: int) -> Worker:
    offer = Offer(
        converter="pdf",
        engine="pdfium",
        engine_version="1",
        family=Family.PDF,
        sources=("pdf",),
        targets=("png", "webp"),
        options_schema={"type": "object", "properties": {"dpi": {"type": "integer", "minimum": 36}}},
    )
    return Worker(
        id=worker_id,
        host="h",
        pid=1,
        started_at=NOW_MS,
        seen_at=seen_at,
        slots=2,
        sandbox="bubblewrap",
        offers=(offer,),
        running=(Slot(conversion_id="c", started_at=NOW_MS, pid=7),),
        not_answering=(NotAnswering(offer=offer, since=NOW_MS, error="no answer within 60 s"),),
        not_installed=("f3d",),
    )


def an_answer(answer_id: str, **fields: Any) -> RememberedAnswer:
    claimed_at = fields.get("claimed_at", NOW_MS)
    start = {"body_sha256": "0" * 64, "claimed_at": claimed_at, "expires_at": claimed_at + 1000}
    return RememberedAnswer(id=answer_id, **{**start, **fields})


async def test_file_round_trips_for_its_owner_only(stores: Stores) -> None:
    """I2: the record keeps every field of a file."""
    file = a_file(declared_type="a/b", sha256="c" * 64, size_bytes=2**40, upload_id="u", part_size_bytes=16)

    await stores.files.insert(file)

    assert await stores.files.get(file.id, owner="ann") == file
    assert await stores.files.get(file.id, owner="bob") is None
    with pytest.raises(DuplicateKey):
        await stores.files.insert(file)


async def test_file_update_needs_the_expected_version_and_status(stores: Stores) -> None:
    file = a_file()
    await stores.files.insert(file)
    waiting = {FileStatus.AWAITING_UPLOAD}
    assign = {"status": FileStatus.UPLOADED, "sha512": "d" * 128}

    assert await stores.files.update(file.id, version=2, expected=waiting, assign=assign) is None
    after = await stores.files.update(file.id, version=1, expected=waiting, assign=assign)
    again = await stores.files.update(file.id, version=1, expected=waiting, assign=assign)

    assert after == msgspec.structs.replace(file, status=FileStatus.UPLOADED, sha512="d" * 128)
    assert again is None


async def test_file_list_is_newest_first_without_deleted_files(stores: Stores) -> None:
    files = [a_file() for _ in range(4)]
    for one in (*files, a_file(status=FileStatus.DELETED), a_file(owner="bob")):
        await stores.files.insert(one)

    first = await stores.files.find(owner="ann", after=None, limit=3)
    rest = await stores.files.find(owner="ann", after=first[-1].id, limit=3)

    assert [one.id for one in (*first, *rest)] == [one.id for one in reversed(files)]


async def test_abandoned_files_are_found_oldest_first(stores: Stores) -> None:
    old, older = a_file(created_at=NOW_MS - 1), a_file(created_at=NOW_MS - 2)
    for one in (old, older, a_file(), a_file(created_at=NOW_MS - 9, status=FileStatus.UPLOADED)):
        await stores.files.insert(one)

    found = await stores.files.abandoned(created_before_ms=NOW_MS, limit=10)

    assert [one.id for one in found] == [older.id, old.id]


async def test_files_to_look_at_are_waiting_and_due(stores: Stores) -> None:
    """C7: a look at uploads that wait reads only those that are due, longest overdue first."""
    due, overdue = a_file(look_due=NOW_MS), a_file(look_due=NOW_MS - 5)
    others = (a_file(look_due=NOW_MS + 1), a_file(), a_file(look_due=NOW_MS - 9, status=FileStatus.UPLOADED))
    for one in (due, overdue, *others):
        await stores.files.insert(one)

    assert await stores.files.to_look_at(now_ms=NOW_MS, limit=10) == [overdue, due]
    assert await stores.files.to_look_at(now_ms=NOW_MS, limit=1) == [overdue]


async def test_looks_after_a_time_are_the_latest_first(stores: Stores) -> None:
    later, latest = a_file(look_due=NOW_MS + 1), a_file(look_due=NOW_MS + 9)
    others = (a_file(look_due=NOW_MS), a_file(), a_file(look_due=NOW_MS + 5, status=FileStatus.UPLOADED))
    for one in (later, latest, *others):
        await stores.files.insert(one)

    assert await stores.files.looks_after(NOW_MS, limit=10) == [latest, later]
    assert await stores.files.looks_after(NOW_MS, limit=1) == [latest]


@pytest.mark.parametrize("next_due_ms", [NOW_MS + 60_000, None])
async def test_only_one_of_twenty_takes_a_look(stores: Stores, next_due_ms: int | None) -> None:
    """C7: however many services run, an upload is looked at once."""
    file = a_file(look_due=NOW_MS)
    await stores.files.insert(file)

    taken = await asyncio.gather(*(stores.files.take_look(file, next_due_ms=next_due_ms) for _ in range(20)))

    assert taken.count(True) == 1
    assert await stores.files.get(file.id) == msgspec.structs.replace(file, look_due=next_due_ms)
    assert await stores.files.to_look_at(now_ms=NOW_MS, limit=10) == []


async def test_look_is_counted_when_told(stores: Stores) -> None:
    file = a_file(look_due=NOW_MS)
    await stores.files.insert(file)

    assert await stores.files.take_look(file, next_due_ms=None, looks=3)
    assert await stores.files.get(file.id) == msgspec.structs.replace(file, look_due=None, looks=3)


@pytest.mark.parametrize("since", [{"status": FileStatus.UPLOADED}, {"version": 2}, {"look_due": NOW_MS + 1}])
async def test_look_at_a_changed_file_is_not_taken(stores: Stores, since: dict[str, Any]) -> None:
    seen = a_file(look_due=NOW_MS)
    now = msgspec.structs.replace(seen, **since)
    await stores.files.insert(now)

    assert not await stores.files.take_look(seen, next_due_ms=None)
    assert await stores.files.get(seen.id) == now


@pytest.mark.parametrize("lost", ["first", None])
async def test_only_one_of_twenty_replaces_an_upload(stores: Stores, lost: str | None) -> None:
    """C7: however many clients find that an upload is lost, one new upload takes its place."""
    file = a_file(upload_id=lost, part_size_bytes=5)
    await stores.files.insert(file)

    after = await asyncio.gather(
        *(stores.files.replace_upload(file, upload_id=f"upload-{number}") for number in range(20))
    )

    (winner,) = [one for one in after if one is not None]
    assert await stores.files.get(file.id) == winner
    assert winner == msgspec.structs.replace(file, upload_id=winner.upload_id)


@pytest.mark.parametrize("since", [{"status": FileStatus.UPLOADED}, {"version": 2}, {"upload_id": "other"}])
async def test_upload_of_a_changed_file_is_not_replaced(stores: Stores, since: dict[str, Any]) -> None:
    seen = a_file(upload_id="first")
    now = msgspec.structs.replace(seen, **since)
    await stores.files.insert(now)

    assert await stores.files.replace_upload(seen, upload_id="second") is None
    assert await stores.files.get(seen.id) == now


async def test_worker_is_replaced_by_put_and_removed(stores: Stores) -> None:
    """M15: what runs where is visible, offers with their option schemas included."""
    await stores.workers.put(a_worker("w1", seen_at=NOW_MS - 5))
    await stores.workers.put(a_worker("w1", seen_at=NOW_MS))
    await stores.workers.put(a_worker("w2", seen_at=NOW_MS - 5))

    assert await stores.workers.seen_since(NOW_MS) == [a_worker("w1", seen_at=NOW_MS)]
    assert len(await stores.workers.seen_since(NOW_MS - 5)) == 2

    await stores.workers.remove("w1")
    await stores.workers.remove("never was")
    assert [one.id for one in await stores.workers.seen_since(0)] == ["w2"]


async def test_api_key_is_found_by_id(stores: Stores) -> None:
    """M17: the store knows a key's hash, never its secret."""
    key = ApiKey(id="k1", owner="ann", secret_sha256=hash_secret("s"), created_at=NOW_MS, label="laptop", is_admin=True)

    await stores.access.put_key(key)
    await stores.access.put_key(msgspec.structs.replace(key, is_revoked=True))

    found = await stores.access.get_key("k1")
    assert found == msgspec.structs.replace(key, is_revoked=True)
    assert await stores.access.get_key("k2") is None


async def test_only_one_of_twenty_concurrent_answer_claims_succeeds(stores: Stores) -> None:
    claims = [an_answer("ann:at-once", claim=f"c{number}") for number in range(20)]

    kept = await asyncio.gather(
        *(stores.access.claim_answer(answer, stale_before_ms=NOW_MS - 60_000) for answer in claims)
    )

    assert len({answer.claim for answer in kept}) == 1
    assert kept[0] in claims


async def test_remembered_answer_round_trips(stores: Stores) -> None:
    answer = an_answer(new_id(), claim="c1")
    finished = msgspec.structs.replace(answer, status=201, body='{"id": "x"}', location="/api/v1/x")
    assert await stores.access.claim_answer(answer, stale_before_ms=0) == answer

    await stores.access.remember_answer(finished)

    assert await stores.access.claim_answer(an_answer(answer.id, claim="c2"), stale_before_ms=0) == finished


async def test_released_answer_passes_on_its_new_ids(stores: Stores) -> None:
    first = an_answer(new_id(), claim="c1", new_ids=NewIds("conversion-1", "file-1"))
    await stores.access.claim_answer(first, stale_before_ms=0)

    await stores.access.release_answer(first)
    second = an_answer(first.id, claim="c2", new_ids=NewIds("conversion-2", "file-2"))
    kept = await stores.access.claim_answer(second, stale_before_ms=1)

    assert kept.claim == "c2"
    assert kept.new_ids == first.new_ids


async def test_release_after_a_takeover_changes_nothing(stores: Stores) -> None:
    slow = an_answer(new_id(), claim="c1")
    await stores.access.claim_answer(slow, stale_before_ms=0)
    quick = an_answer(slow.id, claimed_at=NOW_MS + 10, claim="c2")
    await stores.access.claim_answer(quick, stale_before_ms=NOW_MS + 1)

    await stores.access.release_answer(slow)
    kept = await stores.access.claim_answer(an_answer(slow.id, claim="c3"), stale_before_ms=1)

    assert kept.claim == "c2"


async def test_expired_or_orphaned_answer_is_taken_over_once(stores: Stores) -> None:
    expired = an_answer(new_id(), status=201)
    orphaned = an_answer(new_id(), claimed_at=NOW_MS + 500)
    for old in (expired, orphaned):
        assert await stores.access.claim_answer(old, stale_before_ms=0) == old

    for old in (expired, orphaned):
        claims = [an_answer(old.id, claimed_at=NOW_MS + 1000, claim=f"c{number}") for number in range(10)]
        kept = await asyncio.gather(*(stores.access.claim_answer(new, stale_before_ms=NOW_MS + 600) for new in claims))
        assert len({answer.claim for answer in kept}) == 1


async def test_reservation_from_the_future_is_taken_over(stores: Stores) -> None:
    """A clock that was ahead has dated it; it would block its key for as long."""
    future = an_answer(new_id(), claim="c1", claimed_at=NOW_MS + 3_600_000, new_ids=NewIds("conversion-1", "file-1"))
    near = an_answer(new_id(), claim="c1", claimed_at=NOW_MS + 5_000)
    for one in (future, near):
        await stores.access.claim_answer(one, stale_before_ms=0)

    taken = await stores.access.claim_answer(an_answer(future.id, claim="c2"), stale_before_ms=NOW_MS - 5_000)
    kept = await stores.access.claim_answer(an_answer(near.id, claim="c2"), stale_before_ms=NOW_MS - 5_000)

    assert (taken.claim, taken.new_ids) == ("c2", future.new_ids)
    assert kept.claim == "c1"


async def test_takeover_by_another_request_uses_its_own_ids(stores: Stores) -> None:
    orphaned = an_answer(new_id(), claim="c1", new_ids=NewIds("conversion-1", "file-1"))
    await stores.access.claim_answer(orphaned, stale_before_ms=0)
    other = an_answer(
        orphaned.id, claim="c2", claimed_at=NOW_MS + 10, body_sha256="1" * 64, new_ids=NewIds("conversion-2", "file-2")
    )

    kept = await stores.access.claim_answer(other, stale_before_ms=NOW_MS + 1)

    assert kept.new_ids == other.new_ids


async def test_young_reservation_is_not_taken_over(stores: Stores) -> None:
    young = an_answer(new_id(), claim="c1")
    assert await stores.access.claim_answer(young, stale_before_ms=0) == young

    late = an_answer(young.id, claimed_at=NOW_MS + 10, claim="c2")
    known = await stores.access.claim_answer(late, stale_before_ms=NOW_MS)

    assert known == young
