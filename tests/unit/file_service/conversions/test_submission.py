"""`POST /conversions` with JSON: new and existing files, confirmation, refusals (I1, I3, M5, C1, C4, C8, C12)."""

import json
from typing import Any

import pytest

from converto_core.conversion.record import Lane, Status
from converto_core.formats import Family
from converto_core.ids import now_ms
from tests.unit.file_service.conftest import PDF, PNG, System, pptx, problem, running_system

ADDRESS = "/api/v1/conversions"
UNKNOWN = "019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10"


async def test_create_when_file_is_new_then_waits_for_the_upload(system: System) -> None:
    """I1, C1: the response has ids, status and the upload."""
    wanted = {"target_format": ".PDF", "file": {"filename": "deck.pptx", "size_bytes": 5}, "client_id": "foyer"}

    answer = await system.api.post(ADDRESS, json=wanted)

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{ADDRESS}/{body['conversion']['id']}"
    assert answer.headers["retry-after"] == "1"
    assert body["conversion"]["status"] == "awaiting_upload"
    assert body["conversion"]["target_format"] == "pdf"
    assert body["conversion"]["client_id"] == body["file"]["client_id"] == "foyer"
    assert body["conversion"]["links"]["self"] == answer.headers["location"]
    assert body["upload"]["kind"] == "single"


async def test_create_for_uploaded_file_is_pending_with_its_plan(system: System) -> None:
    """I3: the plan is part of the record; pptx to png takes two steps."""
    file_id = (await system.record(await system.pending(pptx(), "deck.pptx", "pdf"))).file_id

    answer = await system.api.post(ADDRESS, json={"target_format": "png", "file_id": file_id, "lane": "bulk"})

    body = answer.json()
    assert answer.status_code == 201
    assert "upload" not in body
    assert body["conversion"]["status"] == "pending"
    assert body["conversion"]["lane"] == "bulk"
    assert [step["target_format"] for step in body["conversion"]["plan"]] == ["pdf", "png"]


async def test_one_confirmation_starts_all_waiting_conversions(system: System) -> None:
    created = await system.announced(PNG, "a.png", "webp")
    second = await system.api.post(ADDRESS, json={"target_format": "jpg", "file_id": created["file"]["id"]})
    assert second.json()["conversion"]["status"] == "awaiting_upload"
    await system.send(created["upload"], PNG)

    confirmed = await system.api.post(f"/api/v1/files/{created['file']['id']}/uploaded")

    assert {one["status"] for one in confirmed.json()["conversions"]} == {"pending"}
    assert len(confirmed.json()["conversions"]) == 2


async def test_confirmation_publishes_a_message_that_is_due_again() -> None:
    """C4: the message follows the record, and stays due until a worker claims it."""
    async with running_system(republish_after_s=60) as system:
        conversion_id = await system.pending()

        async def is_published() -> bool:
            return (await system.record(conversion_id)).published == 1

        await system.until(is_published)

        record = await system.record(conversion_id)
        assert system.bus.waiting(Family.IMAGE, Lane.NORMAL) == 1
        assert record.publish_due is not None
        assert 50_000 < record.publish_due - now_ms() <= 60_000


async def test_confirmation_without_broker_is_left_to_the_outbox(system: System) -> None:
    """C4, C8: the database accepts the conversion; its message stays due."""
    system.bus.is_away = True

    record = await system.record(await system.pending())

    assert record.status is Status.PENDING
    assert record.published == 0
    assert record.publish_due is not None and record.publish_due <= now_ms()


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"target_format": "pdf"}, "invalid_request"),
        (
            {"target_format": "pdf", "file_id": UNKNOWN, "file": {"filename": "a.png", "size_bytes": 1}},
            "invalid_request",
        ),
        ({"target_format": "xyz", "file": {"filename": "a.png", "size_bytes": 1}}, "unsupported_conversion"),
        ({"target_format": "pdf", "file": {"filename": "a.png", "size_bytes": 1}}, "unsupported_conversion"),
        ({"target_format": "pdf", "file": {"filename": "a.mp4", "size_bytes": 1}}, "unsupported_conversion"),
        ({"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 0}}, "empty_file"),
        ({"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}, "lane": "high"}, "invalid_request"),
        ({"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}, "id": "x"}, "invalid_request"),
        (
            {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}, "options": {"$where": "1"}},
            "invalid_request",
        ),
        (
            {"target_format": "webp", "file": {"filename": "a.x", "size_bytes": 1}, "options": {"quality": {"a": 1}}},
            "invalid_request",
        ),
        (
            {"target_format": "webp", "file": {"filename": "a.x", "size_bytes": 1}, "options": {"quality": 10**30}},
            "invalid_request",
        ),
        (
            {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}, "options": {"quality": 101}},
            "options_invalid",
        ),
        (
            {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}, "options": {"dpi": 100}},
            "options_invalid",
        ),
        (
            {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}, "client_id": "é"},
            "invalid_request",
        ),
    ],
)
async def test_invalid_request_is_422_and_stores_nothing(system: System, wanted: dict[str, Any], code: str) -> None:
    """M5, C12."""
    problem(await system.api.post(ADDRESS, json=wanted), 422, code)

    assert await system.stores.conversions.count_by_status() == {}
    assert (await system.api.get("/api/v1/files")).json()["files"] == []


async def test_impossible_target_names_the_possible_ones(system: System) -> None:
    """M5: the refusal names the supported targets."""
    wanted = {"target_format": "mp3", "file": {"filename": "deck.pptx", "size_bytes": 1}}

    body = problem(await system.api.post(ADDRESS, json=wanted), 422, "unsupported_conversion")

    assert "pdf, png, webp" in body["detail"]


async def test_create_when_options_are_wrong_then_each_is_pointed_at(system: System) -> None:
    options = {"quality": 101, "colour": "red"}
    wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}, "options": options}

    body = problem(await system.api.post(ADDRESS, json=wanted), 422, "options_invalid")

    assert {error["pointer"] for error in body["errors"]} == {"/options/colour", "/options/quality"}


async def test_unknown_extension_is_resolved_by_content(system: System) -> None:
    record = await system.record(await system.pending(PNG, "scan", "webp"))

    assert record.status is Status.PENDING
    assert record.source_format == "png"


async def test_create_without_any_worker_is_503_and_retryable() -> None:
    async with running_system() as system:
        await system.stores.workers.remove("w1")

        answer = await system.api.post(
            ADDRESS, json={"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}}
        )

        assert problem(answer, 503, "no_worker")["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1


async def test_first_workers_routes_are_available_at_once(system: System) -> None:
    await system.stores.workers.remove("w1")
    wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}}
    problem(await system.api.post(ADDRESS, json=wanted), 503, "no_worker")
    await system.put_worker()

    assert (await system.api.post(ADDRESS, json=wanted)).status_code == 201


async def test_create_when_json_body_is_over_64_kib_then_413(system: System) -> None:
    answer = await system.api.post(ADDRESS, content=json.dumps({"target_format": "x" * 70_000}))

    problem(answer, 413, "too_large")


async def test_create_when_file_is_deleted_then_404(system: System) -> None:
    file_id = (await system.record(await system.pending(PDF, "a.pdf", "png"))).file_id
    await system.api.delete(f"/api/v1/files/{file_id}")

    answer = await system.api.post(ADDRESS, json={"target_format": "png", "file_id": file_id})

    problem(answer, 404, "not_found")
