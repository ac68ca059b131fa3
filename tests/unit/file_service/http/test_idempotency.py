"""Idempotency-Key: the same request has one effect and one answer."""

import asyncio
from typing import Any

import msgspec
import pytest

from converto_core.access import RememberedAnswer
from converto_core.conversion.record import Conversion
from converto_core.errors import StoreUnavailable
from converto_core.ids import now_ms
from file_service.http.idempotency import STALE_AFTER_MS
from tests.unit.file_service.conftest import PNG, System, problem, running_system

ADDRESS = "/api/v1/conversions"
KEY = {"Idempotency-Key": "k-1"}
WANTED = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 5}}


async def test_post_when_repeated_then_same_answer_and_one_record(system: System) -> None:
    first = await system.api.post(ADDRESS, json=WANTED, headers=KEY)
    second = await system.api.post(ADDRESS, json=WANTED, headers=KEY)

    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert first.headers["location"] == second.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len((await system.api.get(ADDRESS)).json()["conversions"]) == 1


async def test_twenty_concurrent_posts_create_one_record(system: System) -> None:
    answers = await asyncio.gather(*(system.api.post(ADDRESS, json=WANTED, headers=KEY) for _ in range(20)))

    created = [answer for answer in answers if answer.status_code == 201]
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert len(created) + len(waiting) == 20
    assert len({answer.content for answer in created}) == 1
    for answer in waiting:
        problem(answer, 409, "request_in_flight")
        assert answer.headers["retry-after"] == "1"
    assert len((await system.api.get(ADDRESS)).json()["conversions"]) == 1
    again = await system.api.post(ADDRESS, json=WANTED, headers=KEY)
    assert again.content == created[0].content


async def test_post_when_body_differs_then_422(system: System) -> None:
    await system.api.post(ADDRESS, json=WANTED, headers=KEY)

    answer = await system.api.post(ADDRESS, json={**WANTED, "client_id": "x"}, headers=KEY)

    problem(answer, 422, "idempotency_mismatch")


async def test_post_when_address_differs_then_422(system: System) -> None:
    await system.api.post("/api/v1/files", json=WANTED["file"], headers=KEY)

    problem(await system.api.post(ADDRESS, json=WANTED, headers=KEY), 422, "idempotency_mismatch")


async def test_post_when_only_spelling_of_json_differs_then_replayed(system: System) -> None:
    await system.api.post(
        ADDRESS, content=b'{"target_format":"webp","file":{"filename":"a.png","size_bytes":5}}', headers=KEY
    )

    answer = await system.api.post(
        ADDRESS, content=b'{ "file": {"size_bytes":5, "filename":"a.png"}, "target_format": "webp" }', headers=KEY
    )

    assert answer.headers["idempotent-replayed"] == "true"


async def test_post_when_another_owner_uses_the_key_then_served_anew(system: System) -> None:
    mine = await system.api.post(ADDRESS, json=WANTED, headers=KEY)
    theirs = await system.stranger.post(ADDRESS, json=WANTED, headers=KEY)

    assert theirs.status_code == 201
    assert theirs.json()["conversion"]["id"] != mine.json()["conversion"]["id"]


async def test_post_when_refusal_is_final_then_it_is_remembered(system: System) -> None:
    wanted = {"target_format": "pdf", "file": {"filename": "a.png", "size_bytes": 5}}
    first = await system.api.post(ADDRESS, json=wanted, headers=KEY)
    second = await system.api.post(ADDRESS, json=wanted, headers=KEY)

    assert first.status_code == second.status_code == 422
    assert first.content == second.content
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-type"] == "application/problem+json"


async def test_post_when_dependency_was_away_then_key_is_free_again(system: System) -> None:
    system.objects.is_away = True
    problem(await system.api.post(ADDRESS, json=WANTED, headers=KEY), 503, "object_store_unavailable")
    system.objects.is_away = False

    answer = await system.api.post(ADDRESS, json=WANTED, headers=KEY)

    assert answer.status_code == 201
    assert "idempotent-replayed" not in answer.headers


async def test_post_when_status_forbade_it_then_key_is_free_again(system: System) -> None:
    created = await system.announced(PNG, "a.png", "webp")
    address = f"/api/v1/files/{created['file']['id']}/uploaded"
    problem(await system.api.post(address, headers=KEY), 409, "upload_incomplete")
    await system.send(created["upload"], PNG)

    assert (await system.api.post(address, headers=KEY)).status_code == 200


@pytest.mark.parametrize("age_ms", [STALE_AFTER_MS + 10_000, -STALE_AFTER_MS - 10_000, -3_600_000])
async def test_stale_reservation_is_taken_over(system: System, age_ms: int) -> None:
    """Also one from the future, made by a process whose clock was ahead."""

    def reservation(claimed_at: int) -> RememberedAnswer:
        expires_at = now_ms() + 100_000
        return RememberedAnswer(id="anna:k-1", body_sha256="", claimed_at=claimed_at, expires_at=expires_at)

    await system.stores.access.remember_answer(reservation(now_ms() - age_ms))

    assert (await system.api.post(ADDRESS, json=WANTED, headers=KEY)).status_code == 201


async def test_form_when_repeated_with_another_boundary_then_replayed(system: System) -> None:
    async def send(content: bytes) -> Any:
        form = {"target_format": "webp"}
        return await system.api.post(ADDRESS, data=form, files={"file": ("a.png", content)}, headers=KEY)

    first, second = await send(PNG), await send(PNG)
    other = await send(PNG + b"x")

    assert first.status_code == 201
    assert first.content == second.content
    assert second.headers["idempotent-replayed"] == "true"
    problem(other, 422, "idempotency_mismatch")


@pytest.mark.parametrize("key", [b"", b"k" * 256, "schlüssel".encode(), b"a\tb"])
async def test_post_when_key_is_unusable_then_422(system: System, key: bytes) -> None:
    answer = await system.api.post(ADDRESS, json=WANTED, headers=[(b"Idempotency-Key", key)])

    assert problem(answer, 422, "invalid_request")["errors"][0]["pointer"] == "Idempotency-Key"


async def test_post_when_answer_has_expired_then_served_anew() -> None:
    async with running_system(idempotency_ttl_s=1) as system:
        expired = RememberedAnswer(
            id="anna:k-1",
            body_sha256="other",
            claimed_at=now_ms() - 5000,
            expires_at=now_ms() - 1,
            status=201,
            body="{}",
        )
        await system.stores.access.remember_answer(expired)

        assert (await system.api.post(ADDRESS, json=WANTED, headers=KEY)).status_code == 201


async def test_repetition_after_a_lost_insert_response_finds_the_record(system: System) -> None:
    """Promise 2: the record was stored, but the server got no response and sent 503; the client repeats."""
    insert = system.stores.conversions.insert

    async def insert_without_answer(record: Conversion) -> None:
        await insert(record)
        system.stores.conversions.insert = insert  # type: ignore[method-assign]
        raise StoreUnavailable(detail="the answer was lost")

    system.stores.conversions.insert = insert_without_answer  # type: ignore[method-assign]
    problem(await system.api.post(ADDRESS, json=WANTED, headers=KEY), 503, "database_unavailable")

    again = await system.api.post(ADDRESS, json=WANTED, headers=KEY)

    (record,) = (await system.api.get(ADDRESS)).json()["conversions"]
    assert again.status_code == 201
    assert again.json()["conversion"]["id"] == record["id"]
    assert again.json()["upload"]["kind"] == "single"
    assert len((await system.api.get("/api/v1/files")).json()["files"]) == 1


async def test_repeated_form_after_a_crash_continues_with_the_record(
    system: System,
) -> None:
    """Promise 2: another process finishes what a killed one had stored."""

    async def send() -> Any:
        return await system.api.post(
            ADDRESS, data={"target_format": "webp"}, files={"file": ("a.png", PNG)}, headers=KEY
        )

    first = (await send()).json()["conversion"]["id"]
    kept = await system.stores.access.claim_answer(
        RememberedAnswer(id="anna:k-1", body_sha256="", claimed_at=0, expires_at=1), stale_before_ms=0
    )
    died = msgspec.structs.replace(kept, status=0, body="", claimed_at=now_ms() - STALE_AFTER_MS - 1000)
    await system.stores.access.remember_answer(died)

    again = await send()

    assert again.status_code == 201
    assert again.json()["conversion"]["id"] == first
    assert len((await system.api.get(ADDRESS)).json()["conversions"]) == 1


@pytest.mark.parametrize("lost", ["claim_answer", "release_answer", "remember_answer"])
async def test_repetition_of_an_abandoned_reservation_is_served_at_once(system: System, lost: str) -> None:
    """I15: a client that repeats after a 503 from a slow database does not get 409."""
    insert, settle = system.stores.files.insert, getattr(system.stores.access, lost)

    async def insert_in_vain(record: Any) -> None:
        system.stores.files.insert = insert  # type: ignore[method-assign]
        raise StoreUnavailable(detail="out of breath")

    async def settle_in_vain(*arguments: Any, **more: Any) -> Any:
        setattr(system.stores.access, lost, settle)
        if lost == "claim_answer":
            await settle(*arguments, **more)
        raise StoreUnavailable(detail="out of breath")

    setattr(system.stores.access, lost, settle_in_vain)
    if lost == "release_answer":
        system.stores.files.insert = insert_in_vain  # type: ignore[method-assign]
    first = await system.api.post(ADDRESS, json=WANTED, headers=KEY)

    again = await system.api.post(ADDRESS, json=WANTED, headers=KEY)

    assert first.status_code == (201 if lost == "remember_answer" else 503)
    assert again.status_code == 201
    assert len((await system.api.get(ADDRESS)).json()["conversions"]) == 1
