"""A request with a cached result completes at once (I8), and a cache failure never fails a request."""

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
from file_service.conversions.result_cache import MAX_OUTPUTS
from tests.unit.file_service.conftest import PNG, System, offers, running_system

ADDRESS = "/api/v1/conversions"


async def form(
    system: System, filename: str = "a.png", client: httpx2.AsyncClient | None = None, **fields: str
) -> dict[str, Any]:
    """Create a conversion with a form and return its body."""
    answer = await (client or system.api).post(
        ADDRESS, data={"target_format": "webp", **fields}, files={"file": (filename, PNG, "image/png")}
    )
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()["conversion"]
    return body


async def made(system: System, *, across_owners: bool = False, bodies: tuple[bytes, ...] = (b"result",)) -> Conversion:
    """A first conversion of the picture, completed by the worker that leads its cache key."""
    conversion_id = (await form(system))["id"]
    done = await system.completed(conversion_id, *bodies)
    sha256 = hashlib.sha256(PNG).hexdigest()
    key = cache_key(done, contents=(sha256,), offers=offers(), is_for_all_owners=across_owners)
    assert key is not None
    await system.stores.cache.lead(
        CacheEntry(id=key, conversion_id=done.id, token=done.token, owner=done.owner, created_at=now_ms())
    )
    return done


async def test_form_hit_completes_at_once_under_its_own_name(
    system: System,
) -> None:
    """I8: the second request completes at once, also from another file."""
    first = await made(system)
    body = await form(system, "holiday.png")

    assert (body["status"], body["percent"], body["from_cache"]) == ("completed", 100.0, True)
    assert [output["filename"] for output in body["outputs"]] == ["holiday.webp"]
    assert body["engine_versions"] == {"vips": "8.14"}
    found = await system.api.get(f"{ADDRESS}/{body['id']}/outputs")
    assert await system.fetch(found.json()["outputs"][0]["url"]) == b"result"
    assert (await system.api.get(f"{ADDRESS}/{first.id}")).json()["from_cache"] is False


async def test_deleting_one_conversion_keeps_the_copies_of_the_other(system: System) -> None:
    """The two conversions are independent."""
    first = await made(system)
    second, third = await form(system), await form(system)

    for deleted_id in (first.id, third["id"]):
        assert (await system.api.delete(f"{ADDRESS}/{deleted_id}")).status_code == 204

    found = await system.api.get(f"{ADDRESS}/{second['id']}/outputs")
    assert await system.fetch(found.json()["outputs"][0]["url"]) == b"result"
    assert len(await system.objects.list_keys("t/anna/out/")) == 1


async def test_existing_file_hit_completes_at_once(system: System) -> None:
    first = await made(system)
    wanted = {"target_format": "webp", "file_id": first.file_id}

    again = (await system.api.post(ADDRESS, json=wanted)).json()["conversion"]
    fresh = (await system.api.post(ADDRESS, json={**wanted, "fresh": True})).json()["conversion"]

    assert (again["status"], again["from_cache"]) == ("completed", True)
    assert (fresh["status"], fresh["from_cache"]) == ("pending", False)


@pytest.mark.parametrize(
    "fields", [{"fresh": "true"}, {"options": '{"quality": 7}'}, {"target_format": "jpg"}], ids=str
)
async def test_other_request_or_fresh_run_needs_a_worker(system: System, fields: dict[str, str]) -> None:
    await made(system)

    assert (await form(system, **fields))["status"] == "pending"


async def test_empty_fresh_field_is_false_and_nonsense_is_refused(system: System) -> None:
    await made(system)
    refused = await system.api.post(
        ADDRESS, data={"target_format": "webp", "fresh": "maybe"}, files={"file": ("a.png", PNG, "image/png")}
    )

    assert (await form(system, fresh=""))["status"] == "completed"
    assert refused.status_code == 422


async def test_declared_hash_alone_needs_a_worker(system: System) -> None:
    """Cache keys use computed hashes, never a hash that a client only declares."""
    await made(system)
    declared = {"filename": "a.png", "size_bytes": len(PNG), "sha256": hashlib.sha256(PNG).hexdigest()}
    created = (await system.api.post(ADDRESS, json={"target_format": "webp", "file": declared})).json()
    await system.send(created["upload"], PNG)
    confirmed = (await system.api.post(f"/api/v1/files/{created['file']['id']}/uploaded")).json()

    assert confirmed["conversions"][0]["status"] == "pending"


async def test_hash_of_another_version_is_not_a_hit(system: System) -> None:
    """I7: the hash of the newest version does not apply to an older one."""
    first = await made(system)
    file = await system.stores.files.get(first.file_id)
    assert file is not None
    record = Conversion(
        id="x", owner="anna", file_id=file.id, file_version=2, target_format="webp", created_at=0, updated_at=0
    )
    plan = await system.service.wiring.offers.plan("png", "webp", {})
    earlier = system.service.wiring.result_cache

    assert await earlier.completion(record, file, plan) is None


async def test_owner_when_another_one_made_the_same_then_not_told(system: System) -> None:
    await made(system)

    assert (await form(system, client=system.stranger))["status"] == "pending"


async def test_shared_cache_copies_across_owners_without_showing_ids() -> None:
    async with running_system(cache_across_owners=True) as system:
        first = await made(system, across_owners=True)
        body = await form(system, client=system.stranger)

        assert (body["status"], body["from_cache"]) == ("completed", True)
        assert first.id not in str(body)
        assert len(await system.objects.list_keys("t/berta/out/")) == 1


async def test_cache_when_switched_off_then_a_worker_has_to_run() -> None:
    async with running_system(cache=False) as system:
        await made(system)

        assert (await form(system))["status"] == "pending"


def lost_objects(system: System, first: Conversion) -> None:
    system.objects._objects.pop(first.outputs[0].key)


def refused_copies(system: System, _: Conversion) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise ObjectStoreUnavailable(detail="AccessDenied")

    system.objects.copy = refuse  # type: ignore[method-assign]


def broken_cache(system: System, _: Conversion) -> None:
    async def refuse(_: str) -> None:
        raise StoreUnavailable(detail="no such collection")

    system.stores.cache.get = refuse  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("fault", [lost_objects, refused_copies, broken_cache])
async def test_cache_failure_falls_back_to_a_worker(
    system: System, fault: Callable[[System, Conversion], None]
) -> None:
    """The cache never makes a request fail."""
    fault(system, await made(system))

    assert (await form(system))["status"] == "pending"


async def test_expired_result_is_not_a_hit(system: System) -> None:
    first = await made(system)
    await system.apply(expire_result(first, now_ms=now_ms()))

    assert (await form(system))["status"] == "pending"


async def test_large_result_is_copied_by_a_worker(system: System) -> None:
    """A request does not wait for copies of hundreds of pages."""
    await made(system, bodies=(b"page",) * (MAX_OUTPUTS + 1))

    assert (await form(system))["status"] == "pending"


async def test_cache_hit_publishes_a_live_event(system: System) -> None:
    await made(system)
    async with system.bus.subscribe() as events:
        body = await form(system)
        event = await anext(events)

    assert (event.id, event.status, event.percent) == (body["id"], Status.COMPLETED, 100.0)
