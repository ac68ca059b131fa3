"""What both twins of `FileStore`, `WorkerStore` and `AccessStore` promise."""

import asyncio
from typing import Any

import msgspec
import pytest

from converto_core.access import ApiKey, NewIds, RememberedAnswer, hash_secret
from converto_core.catalogue import Offer, Slot, Worker
from converto_core.errors import DuplicateKey
from converto_core.files.record import FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id
from converto_infra.memory.stores import MemoryStores
from converto_infra.mongo.stores import MongoStores
from tests.contract.samples import NOW_MS, a_file

Stores = MemoryStores | MongoStores


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
    )


def an_answer(answer_id: str, **fields: Any) -> RememberedAnswer:
    claimed_at = fields.get("claimed_at", NOW_MS)
    start = {"body_sha256": "0" * 64, "claimed_at": claimed_at, "expires_at": claimed_at + 1000}
    return RememberedAnswer(id=answer_id, **{**start, **fields})


async def test_file_when_stored_then_comes_back_whole_and_only_to_its_owner(stores: Stores) -> None:
    """I2: the record keeps all that is known of a file."""
    file = a_file(declared_type="a/b", sha256="c" * 64, size_bytes=2**40, upload_id="u", part_size_bytes=16)

    await stores.files.insert(file)

    assert await stores.files.get(file.id, owner="ann") == file
    assert await stores.files.get(file.id, owner="bob") is None
    with pytest.raises(DuplicateKey):
        await stores.files.insert(file)


async def test_file_update_when_version_or_status_differ_then_none(stores: Stores) -> None:
    file = a_file()
    await stores.files.insert(file)
    waiting = {FileStatus.AWAITING_UPLOAD}
    assign = {"status": FileStatus.UPLOADED, "sha512": "d" * 128}

    assert await stores.files.update(file.id, version=2, expected=waiting, assign=assign) is None
    after = await stores.files.update(file.id, version=1, expected=waiting, assign=assign)
    again = await stores.files.update(file.id, version=1, expected=waiting, assign=assign)

    assert after == msgspec.structs.replace(file, status=FileStatus.UPLOADED, sha512="d" * 128)
    assert again is None


async def test_files_when_listed_then_newest_first_without_deleted_ones(stores: Stores) -> None:
    files = [a_file() for _ in range(4)]
    for one in (*files, a_file(status=FileStatus.DELETED), a_file(owner="bob")):
        await stores.files.insert(one)

    first = await stores.files.find(owner="ann", after=None, limit=3)
    rest = await stores.files.find(owner="ann", after=first[-1].id, limit=3)

    assert [one.id for one in (*first, *rest)] == [one.id for one in reversed(files)]


async def test_files_when_abandoned_then_found_oldest_first(stores: Stores) -> None:
    old, older = a_file(created_at=NOW_MS - 1), a_file(created_at=NOW_MS - 2)
    for one in (old, older, a_file(), a_file(created_at=NOW_MS - 9, status=FileStatus.UPLOADED)):
        await stores.files.insert(one)

    found = await stores.files.abandoned(created_before_ms=NOW_MS, limit=10)

    assert [one.id for one in found] == [older.id, old.id]


async def test_workers_when_put_again_then_replaced_and_removed_then_gone(stores: Stores) -> None:
    """M15: what runs where is visible, offers with their option schemas included."""
    await stores.workers.put(a_worker("w1", seen_at=NOW_MS - 5))
    await stores.workers.put(a_worker("w1", seen_at=NOW_MS))
    await stores.workers.put(a_worker("w2", seen_at=NOW_MS - 5))

    assert await stores.workers.seen_since(NOW_MS) == [a_worker("w1", seen_at=NOW_MS)]
    assert len(await stores.workers.seen_since(NOW_MS - 5)) == 2

    await stores.workers.remove("w1")
    await stores.workers.remove("never was")
    assert [one.id for one in await stores.workers.seen_since(0)] == ["w2"]


async def test_key_when_put_then_found_and_unknown_then_none(stores: Stores) -> None:
    """M17: the store knows a key's hash, never its secret."""
    key = ApiKey(id="k1", owner="ann", secret_sha256=hash_secret("s"), created_at=NOW_MS, label="laptop", is_admin=True)

    await stores.access.put_key(key)
    await stores.access.put_key(msgspec.structs.replace(key, is_revoked=True))

    found = await stores.access.get_key("k1")
    assert found == msgspec.structs.replace(key, is_revoked=True)
    assert await stores.access.get_key("k2") is None


async def test_answer_when_claimed_by_twenty_at_once_then_one_gets_it(stores: Stores) -> None:
    claims = [an_answer("ann:at-once", claim=f"c{number}") for number in range(20)]

    kept = await asyncio.gather(
        *(stores.access.claim_answer(answer, stale_before_ms=NOW_MS - 60_000) for answer in claims)
    )

    assert len({answer.claim for answer in kept}) == 1
    assert kept[0] in claims


async def test_answer_when_remembered_then_given_back_with_all_it_holds(stores: Stores) -> None:
    answer = an_answer(new_id(), claim="c1")
    finished = msgspec.structs.replace(answer, status=201, body='{"id": "x"}', location="/api/v1/x")
    assert await stores.access.claim_answer(answer, stale_before_ms=0) == answer

    await stores.access.remember_answer(finished)

    assert await stores.access.claim_answer(an_answer(answer.id, claim="c2"), stale_before_ms=0) == finished


async def test_answer_when_given_back_then_the_next_claim_has_the_same_new_ids(stores: Stores) -> None:
    first = an_answer(new_id(), claim="c1", new_ids=NewIds("conversion-1", "file-1"))
    await stores.access.claim_answer(first, stale_before_ms=0)

    await stores.access.release_answer(first)
    second = an_answer(first.id, claim="c2", new_ids=NewIds("conversion-2", "file-2"))
    kept = await stores.access.claim_answer(second, stale_before_ms=1)

    assert kept.claim == "c2"
    assert kept.new_ids == first.new_ids


async def test_answer_when_given_back_by_one_that_was_taken_over_then_the_new_one_stays(stores: Stores) -> None:
    slow = an_answer(new_id(), claim="c1")
    await stores.access.claim_answer(slow, stale_before_ms=0)
    quick = an_answer(slow.id, claimed_at=NOW_MS + 10, claim="c2")
    await stores.access.claim_answer(quick, stale_before_ms=NOW_MS + 1)

    await stores.access.release_answer(slow)
    kept = await stores.access.claim_answer(an_answer(slow.id, claim="c3"), stale_before_ms=1)

    assert kept.claim == "c2"


async def test_answer_when_expired_or_orphaned_then_taken_over_by_exactly_one(stores: Stores) -> None:
    expired = an_answer(new_id(), status=201)
    orphaned = an_answer(new_id(), claimed_at=NOW_MS + 500)
    for old in (expired, orphaned):
        assert await stores.access.claim_answer(old, stale_before_ms=0) == old

    for old in (expired, orphaned):
        claims = [an_answer(old.id, claimed_at=NOW_MS + 1000, claim=f"c{number}") for number in range(10)]
        kept = await asyncio.gather(*(stores.access.claim_answer(new, stale_before_ms=NOW_MS + 600) for new in claims))
        assert len({answer.claim for answer in kept}) == 1


async def test_answer_when_another_request_takes_an_orphan_over_then_with_ids_of_its_own(stores: Stores) -> None:
    orphaned = an_answer(new_id(), claim="c1", new_ids=NewIds("conversion-1", "file-1"))
    await stores.access.claim_answer(orphaned, stale_before_ms=0)
    other = an_answer(
        orphaned.id, claim="c2", claimed_at=NOW_MS + 10, body_sha256="1" * 64, new_ids=NewIds("conversion-2", "file-2")
    )

    kept = await stores.access.claim_answer(other, stale_before_ms=NOW_MS + 1)

    assert kept.new_ids == other.new_ids


async def test_reservation_when_young_then_not_taken_over(stores: Stores) -> None:
    young = an_answer(new_id(), claim="c1")
    assert await stores.access.claim_answer(young, stale_before_ms=0) == young

    late = an_answer(young.id, claimed_at=NOW_MS + 10, claim="c2")
    known = await stores.access.claim_answer(late, stale_before_ms=NOW_MS)

    assert known == young
