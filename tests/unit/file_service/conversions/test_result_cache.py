"""A request whose result is there already completes at once (I8), and nothing about the cache makes a request fail."""

import hashlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from converto_core.conversion.cache_key import CacheEntry, cache_key
from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import expire_result
from converto_core.errors import ObjectStoreUnavailable, StoreUnavailable
from converto_core.ids import now_ms
from file_service.conversions import result_cache as earlier_results
from tests.unit.file_service.conftest import PNG, World, offers, running_world

ADDRESS = "/api/v1/conversions"


async def form(
    world: World, filename: str = "a.png", client: httpx2.AsyncClient | None = None, **fields: str
) -> dict[str, Any]:
    """A conversion from a form; its body."""
    answer = await (client or world.api).post(
        ADDRESS, data={"target_format": "webp", **fields}, files={"file": (filename, PNG, "image/png")}
    )
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()["conversion"]
    return body


async def made(world: World, *, across_owners: bool = False, bodies: tuple[bytes, ...] = (b"result",)) -> Conversion:
    """A first conversion of the picture, completed by a worker that led its key."""
    conversion_id = (await form(world))["id"]
    done = await world.completed(conversion_id, *bodies)
    sha256 = hashlib.sha256(PNG).hexdigest()
    key = cache_key(done, contents=(sha256,), offers=offers(), is_for_all_owners=across_owners)
    assert key is not None
    await world.stores.cache.lead(
        CacheEntry(id=key, conversion_id=done.id, token=done.token, owner=done.owner, created_at=now_ms())
    )
    return done


async def test_form_when_the_same_was_made_before_then_completed_in_the_answer_under_its_own_name(
    world: World,
) -> None:
    """I8: the second request completes at once, also from another file."""
    first = await made(world)
    body = await form(world, "holiday.png")

    assert (body["status"], body["percent"], body["from_cache"]) == ("completed", 100.0, True)
    assert [output["filename"] for output in body["outputs"]] == ["holiday.webp"]
    assert body["engine_versions"] == {"vips": "8.14"}
    found = await world.api.get(f"{ADDRESS}/{body['id']}/outputs")
    assert await world.fetch(found.json()["outputs"][0]["url"]) == b"result"
    assert (await world.api.get(f"{ADDRESS}/{first.id}")).json()["from_cache"] is False


async def test_copies_when_either_conversion_is_deleted_then_the_other_one_keeps_its_own(world: World) -> None:
    """Lifetimes are apart."""
    first = await made(world)
    second, third = await form(world), await form(world)

    for gone in (first.id, third["id"]):
        assert (await world.api.delete(f"{ADDRESS}/{gone}")).status_code == 204

    found = await world.api.get(f"{ADDRESS}/{second['id']}/outputs")
    assert await world.fetch(found.json()["outputs"][0]["url"]) == b"result"
    assert len(await world.objects.list_keys("t/anna/out/")) == 1


async def test_known_file_when_the_same_was_made_before_then_completed_in_the_answer(world: World) -> None:
    first = await made(world)
    wanted = {"target_format": "webp", "file_id": first.file_id}

    again = (await world.api.post(ADDRESS, json=wanted)).json()["conversion"]
    fresh = (await world.api.post(ADDRESS, json={**wanted, "fresh": True})).json()["conversion"]

    assert (again["status"], again["from_cache"]) == ("completed", True)
    assert (fresh["status"], fresh["from_cache"]) == ("pending", False)


@pytest.mark.parametrize(
    "fields", [{"fresh": "true"}, {"options": '{"quality": 7}'}, {"target_format": "jpg"}], ids=str
)
async def test_form_when_it_asks_for_something_else_or_a_fresh_run_then_a_worker_has_to_run(
    world: World, fields: dict[str, str]
) -> None:
    await made(world)

    assert (await form(world, **fields))["status"] == "pending"


async def test_form_when_fresh_is_left_empty_or_is_nonsense_then_not_fresh_or_refused(world: World) -> None:
    await made(world)
    refused = await world.api.post(
        ADDRESS, data={"target_format": "webp", "fresh": "maybe"}, files={"file": ("a.png", PNG, "image/png")}
    )

    assert (await form(world, fresh=""))["status"] == "completed"
    assert refused.status_code == 422


async def test_upload_when_its_hash_is_only_declared_then_a_worker_has_to_see_the_bytes(world: World) -> None:
    """A key is made of hashes that were seen, never of one that a client only says."""
    await made(world)
    declared = {"filename": "a.png", "size_bytes": len(PNG), "sha256": hashlib.sha256(PNG).hexdigest()}
    created = (await world.api.post(ADDRESS, json={"target_format": "webp", "file": declared})).json()
    await world.send(created["upload"], PNG)
    confirmed = (await world.api.post(f"/api/v1/files/{created['file']['id']}/uploaded")).json()

    assert confirmed["conversions"][0]["status"] == "pending"


async def test_version_when_the_files_hash_is_of_another_one_then_not_answered_from_the_cache(world: World) -> None:
    """I7: a conversion of an older version is no business of the newest hash."""
    first = await made(world)
    file = await world.stores.files.get(first.file_id)
    assert file is not None
    record = Conversion(
        id="x", owner="anna", file_id=file.id, file_version=2, target_format="webp", created_at=0, updated_at=0
    )
    plan = await world.service.wiring.offers.plan("png", "webp", {})
    earlier = world.service.wiring.earlier

    assert await earlier.completion(record, file, plan) is None


async def test_owner_when_another_one_made_the_same_then_not_told(world: World) -> None:
    await made(world)

    assert (await form(world, client=world.stranger))["status"] == "pending"


async def test_owner_when_the_setting_allows_it_then_another_ones_result_is_copied_and_no_id_is_shown() -> None:
    async with running_world(cache_across_owners=True) as world:
        first = await made(world, across_owners=True)
        body = await form(world, client=world.stranger)

        assert (body["status"], body["from_cache"]) == ("completed", True)
        assert first.id not in str(body)
        assert len(await world.objects.list_keys("t/berta/out/")) == 1


async def test_cache_when_switched_off_then_a_worker_has_to_run() -> None:
    async with running_world(cache=False) as world:
        await made(world)

        assert (await form(world))["status"] == "pending"


def lost_objects(world: World, first: Conversion) -> None:
    world.objects._objects.pop(first.outputs[0].key)


def refused_copies(world: World, _: Conversion) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise ObjectStoreUnavailable(detail="AccessDenied")

    world.objects.copy = refuse  # type: ignore[method-assign]


def broken_cache(world: World, _: Conversion) -> None:
    async def refuse(_: str) -> None:
        raise StoreUnavailable(detail="no such collection")

    world.stores.cache.get = refuse  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("fault", [lost_objects, refused_copies, broken_cache])
async def test_form_when_anything_about_the_cache_fails_then_the_usual_way(
    world: World, fault: Callable[[World, Conversion], None]
) -> None:
    """The cache never makes a request fail."""
    fault(world, await made(world))

    assert (await form(world))["status"] == "pending"


async def test_form_when_the_first_one_has_expired_then_a_worker_has_to_run(world: World) -> None:
    first = await made(world)
    await world.apply(expire_result(first, now_ms=now_ms()))

    assert (await form(world))["status"] == "pending"


async def test_form_when_the_results_are_many_then_a_worker_copies_them(world: World) -> None:
    """Nobody waits inside a request for copies of hundreds of pages."""
    await made(world, bodies=(b"page",) * (earlier_results.MOST_OUTPUTS + 1))

    assert (await form(world))["status"] == "pending"


async def test_live_stream_when_completed_from_the_cache_then_the_fact_is_announced(world: World) -> None:
    await made(world)
    async with world.bus.subscribe() as facts:
        body = await form(world)
        fact = await anext(facts)

    assert (fact.id, fact.status, fact.percent) == (body["id"], Status.COMPLETED, 100.0)
