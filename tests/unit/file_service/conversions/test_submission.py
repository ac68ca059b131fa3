"""`/conversions`: creation in both forms, reading, results, cancel, retry, deletion (I1, I3, I4, M3, M4, C1–C12)."""

import asyncio
import json
from typing import Any

import pytest

from converto_core.conversion.processing import beat, fail, hand_back
from converto_core.conversion.record import Lane, Status
from converto_core.formats import Family
from converto_core.ids import now_ms
from tests.unit.file_service.conftest import EXE, PDF, PNG, World, pptx, problem, running_world

ADDRESS = "/api/v1/conversions"
UNKNOWN = "019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10"


async def test_create_when_file_is_new_then_waits_for_the_upload(world: World) -> None:
    """I1, C1: the answer comes at once with ids, status and where to upload."""
    wanted = {"target_format": ".PDF", "file": {"filename": "deck.pptx", "size_bytes": 5}, "client_id": "foyer"}

    answer = await world.api.post(ADDRESS, json=wanted)

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{ADDRESS}/{body['conversion']['id']}"
    assert answer.headers["retry-after"] == "1"
    assert body["conversion"]["status"] == "awaiting_upload"
    assert body["conversion"]["target_format"] == "pdf"
    assert body["conversion"]["client_id"] == body["file"]["client_id"] == "foyer"
    assert body["conversion"]["links"]["self"] == answer.headers["location"]
    assert body["upload"]["kind"] == "single"


async def test_create_when_file_is_uploaded_then_pending_at_once_with_its_plan(world: World) -> None:
    """I3: the plan is part of the record; pptx to png takes two steps."""
    file_id = (await world.record(await world.pending(pptx(), "deck.pptx", "pdf"))).file_id

    answer = await world.api.post(ADDRESS, json={"target_format": "png", "file_id": file_id, "lane": "bulk"})

    body = answer.json()
    assert answer.status_code == 201
    assert "upload" not in body
    assert body["conversion"]["status"] == "pending"
    assert body["conversion"]["lane"] == "bulk"
    assert [step["target_format"] for step in body["conversion"]["plan"]] == ["pdf", "png"]


async def uploaded(world: World, body: bytes, filename: str) -> str:
    """The id of a file that is there."""
    declared = {"filename": filename, "size_bytes": len(body)}
    created = (await world.api.post("/api/v1/files", json=declared)).json()
    assert await world.send(created["upload"], body) == 200
    assert (await world.api.post(f"/api/v1/files/{created['file']['id']}/uploaded")).status_code == 200
    file_id: str = created["file"]["id"]
    return file_id


async def test_create_when_files_are_appended_then_kept_in_order_with_their_versions(world: World) -> None:
    first, second, third = [await uploaded(world, PDF, name) for name in ("a.pdf", "b.pdf", "c.pdf")]
    wanted = {"target_format": "pdf", "file_id": first, "append_file_ids": [third, second, third]}

    answer = await world.api.post(ADDRESS, json=wanted)

    body = answer.json()["conversion"]
    record = await world.record(body["id"])
    assert answer.status_code == 201
    assert body["status"] == "pending"
    assert body["append_file_ids"] == [third, second, third]
    assert body["filename"] == "a-and-3-more.pdf"
    assert [(entry.file_id, entry.file_version) for entry in record.appended] == [(third, 1), (second, 1), (third, 1)]


async def test_create_when_files_cannot_be_joined_then_a_clear_problem_and_nothing_is_stored(world: World) -> None:
    paper, picture = await uploaded(world, PDF, "a.pdf"), await uploaded(world, PNG, "b.png")
    waiting = (await world.api.post("/api/v1/files", json={"filename": "c.pdf", "size_bytes": 9})).json()["file"]["id"]

    async def refused(status: int, code: str, **fields: Any) -> str:
        answer = await world.api.post(ADDRESS, json={"target_format": "pdf", "file_id": paper, **fields})
        detail: str = problem(answer, status, code)["detail"]
        return detail

    assert '"b.png" cannot be joined' in await refused(422, "invalid_request", append_file_ids=[picture])
    assert "has not been uploaded" in await refused(422, "invalid_request", append_file_ids=[waiting])
    assert "has not been uploaded" in await refused(422, "invalid_request", file_id=waiting, append_file_ids=[paper])
    assert "cannot be joined" in await refused(422, "invalid_request", target_format="png", append_file_ids=[paper])
    await refused(422, "invalid_request", append_file_ids=[paper] * 101)
    await refused(404, "not_found", append_file_ids=[UNKNOWN])
    new = {"target_format": "pdf", "file": {"filename": "a.pdf", "size_bytes": 1}, "append_file_ids": [paper]}
    assert "goes with file_id" in problem(await world.api.post(ADDRESS, json=new), 422, "invalid_request")["detail"]
    assert (await world.api.get(ADDRESS)).json()["conversions"] == []


async def test_create_when_a_strangers_file_is_appended_then_it_does_not_exist(world: World) -> None:
    theirs = await uploaded(world, PDF, "secret.pdf")
    world.api, world.stranger = world.stranger, world.api
    mine = await uploaded(world, PDF, "a.pdf")

    answer = await world.api.post(ADDRESS, json={"target_format": "pdf", "file_id": mine, "append_file_ids": [theirs]})

    problem(answer, 404, "not_found")


async def test_create_when_file_still_waits_then_both_conversions_run_after_one_confirmation(world: World) -> None:
    created = await world.announced(PNG, "a.png", "webp")
    second = await world.api.post(ADDRESS, json={"target_format": "jpg", "file_id": created["file"]["id"]})
    assert second.json()["conversion"]["status"] == "awaiting_upload"
    await world.send(created["upload"], PNG)

    confirmed = await world.api.post(f"/api/v1/files/{created['file']['id']}/uploaded")

    assert {one["status"] for one in confirmed.json()["conversions"]} == {"pending"}
    assert len(confirmed.json()["conversions"]) == 2


async def test_confirm_when_done_then_wake_up_is_published_and_due_again_later() -> None:
    """C4: the event follows the record, and stays due until someone claims it."""
    async with running_world(republish_after_s=60) as world:
        conversion_id = await world.pending()

        async def is_published() -> bool:
            return (await world.record(conversion_id)).published == 1

        await world.until(is_published)

        record = await world.record(conversion_id)
        assert world.bus.waiting(Family.IMAGE, Lane.NORMAL) == 1
        assert record.publish_due is not None
        assert 50_000 < record.publish_due - now_ms() <= 60_000


async def test_confirm_when_broker_is_away_then_accepted_and_left_to_the_sweeper(world: World) -> None:
    """C4, C8: the database accepts; the wake-up stays due at once."""
    world.bus.is_away = True

    record = await world.record(await world.pending())

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
async def test_create_when_request_is_wrong_then_422_and_nothing_is_stored(
    world: World, wanted: dict[str, Any], code: str
) -> None:
    """M5, C12."""
    problem(await world.api.post(ADDRESS, json=wanted), 422, code)

    assert await world.stores.conversions.count_by_status() == {}
    assert (await world.api.get("/api/v1/files")).json()["files"] == []


async def test_create_when_target_is_out_of_reach_then_possible_ones_are_named(world: World) -> None:
    """M5: the refusal names the supported targets."""
    wanted = {"target_format": "mp3", "file": {"filename": "deck.pptx", "size_bytes": 1}}

    body = problem(await world.api.post(ADDRESS, json=wanted), 422, "unsupported_conversion")

    assert "pdf, png, webp" in body["detail"]


async def test_create_when_options_are_wrong_then_each_is_pointed_at(world: World) -> None:
    options = {"quality": 101, "colour": "red"}
    wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}, "options": options}

    body = problem(await world.api.post(ADDRESS, json=wanted), 422, "options_invalid")

    assert {error["pointer"] for error in body["errors"]} == {"/options/colour", "/options/quality"}


async def test_create_when_extension_is_unknown_then_decided_by_content_at_confirmation(world: World) -> None:
    record = await world.record(await world.pending(PNG, "scan", "webp"))

    assert record.status is Status.PENDING
    assert record.source_format == "png"


async def test_create_when_no_worker_was_ever_seen_then_503_and_retryable() -> None:
    async with running_world() as world:
        await world.stores.workers.remove("w1")

        answer = await world.api.post(
            ADDRESS, json={"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}}
        )

        assert problem(answer, 503, "no_worker")["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1


async def test_create_when_first_worker_appears_then_its_routes_are_there_at_once(world: World) -> None:
    await world.stores.workers.remove("w1")
    wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 1}}
    problem(await world.api.post(ADDRESS, json=wanted), 503, "no_worker")
    await world.put_worker()

    assert (await world.api.post(ADDRESS, json=wanted)).status_code == 201


async def test_create_from_form_when_small_then_pending_with_both_hashes(world: World) -> None:
    """C1, I2: one request, hashed on the way."""
    form = {"target_format": "webp", "options": '{"quality": 80}', "client_id": "foyer"}

    answer = await world.api.post(ADDRESS, data=form, files={"file": ("a.png", PNG, "image/png")})

    body = answer.json()
    assert answer.status_code == 201, answer.text
    assert body["conversion"]["status"] == "pending"
    assert body["conversion"]["options"] == {"quality": 80}
    assert body["conversion"]["source_sha256"] == body["file"]["sha256"]
    assert len(body["file"]["sha512"]) == 128
    assert body["file"]["detected_type"] == "image/png"
    assert await world.objects.list_keys("t/anna/in/") != []


@pytest.mark.parametrize(
    ("filename", "content", "form", "status", "code"),
    [
        ("deck.pptx", EXE, {"target_format": "pdf"}, 422, "source_type_mismatch"),
        ("a.png", b"", {"target_format": "webp"}, 422, "empty_file"),
        ("a.png", PNG, {"target_format": "pdf"}, 422, "unsupported_conversion"),
        ("a.png", PNG, {}, 422, "invalid_request"),
        ("a.png", PNG, {"target_format": "webp", "options": "{"}, 400, "malformed_request"),
        ("a.png", PNG, {"target_format": "webp", "options": "[]"}, 422, "invalid_request"),
        ("a.png", PNG, {"target_format": "webp", "options": '{"quality":0}'}, 422, "options_invalid"),
        ("a.png", PNG, {"target_format": "webp", "surprise": "1"}, 422, "invalid_request"),
        ("a.bin", EXE, {"target_format": "pdf"}, 422, "source_unsupported"),
    ],
)
async def test_create_from_form_when_it_cannot_work_then_refused_before_anything_is_stored(
    world: World, *, filename: str, content: bytes, form: dict[str, str], status: int, code: str
) -> None:
    """I13, C12: judged by content at once."""
    answer = await world.api.post(ADDRESS, data=form, files={"file": (filename, content, "application/any")})

    problem(answer, status, code)
    assert await world.objects.list_keys("t/") == []
    assert await world.stores.conversions.count_by_status() == {}


async def test_create_from_form_when_file_is_missing_then_422(world: World) -> None:
    answer = await world.api.post(ADDRESS, files={"target_format": (None, "webp")})

    assert problem(answer, 422, "invalid_request")["errors"][0]["pointer"] == "file"


async def test_create_from_form_when_boundary_is_missing_or_body_is_no_form_then_problem(world: World) -> None:
    for headers in ({"content-type": "multipart/form-data"}, {"content-type": "multipart/form-data; boundary=x"}):
        answer = await world.api.post(ADDRESS, content=b"nonsense", headers=headers)

        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("size_bytes", [1024 + 1, 2 * 1024 * 1024])
async def test_create_from_form_when_file_is_over_the_limit_then_413(size_bytes: int) -> None:
    """C12: too large for a form, whether only the file or the whole body is over."""
    async with running_world(max_form_bytes=1024) as world:
        content = PNG + b"\0" * (size_bytes - len(PNG))

        answer = await world.api.post(ADDRESS, data={"target_format": "webp"}, files={"file": ("a.png", content)})

        problem(answer, 413, "too_large")


async def test_create_when_json_body_is_over_64_kib_then_413(world: World) -> None:
    answer = await world.api.post(ADDRESS, content=json.dumps({"target_format": "x" * 70_000}))

    problem(answer, 413, "too_large")


async def test_get_when_it_runs_then_progress_worker_and_start_are_shown(world: World) -> None:
    """I4, C2."""
    conversion_id = await world.pending()
    running = await world.claimed(conversion_id)
    await world.apply(beat(conversion_id, token=running.token, now_ms=now_ms(), percent=42.0, stage="rendering"))

    answer = await world.api.get(f"{ADDRESS}/{conversion_id}")

    body = answer.json()
    assert (body["status"], body["percent"], body["stage"], body["worker"]) == ("processing", 42.0, "rendering", "w1")
    assert body["started_at"] is not None
    assert body["attempt"] == 1
    assert answer.headers["retry-after"] == "1"


async def test_get_when_it_has_run_for_a_while_then_the_rest_is_told_as_a_range_that_keeps_its_etag(
    world: World,
) -> None:
    """C2: honest about time, and unchanged while the record is."""
    conversion_id = await world.pending()
    running = await world.claimed(conversion_id)
    early = (await world.api.get(f"{ADDRESS}/{conversion_id}")).json()
    later_ms = (running.started_at or 0) + 30_000
    await world.apply(beat(conversion_id, token=running.token, now_ms=later_ms, percent=50.0))

    first, second = [await world.api.get(f"{ADDRESS}/{conversion_id}") for _ in range(2)]

    assert early["remaining"] is None
    assert first.json()["remaining"] == {"low_s": 15.0, "high_s": 60.0, "based_on": 0}
    assert first.headers["etag"] == second.headers["etag"]


async def test_get_when_completed_then_outputs_versions_and_expiry_are_shown(world: World) -> None:
    """I4, M4: the current (output) filename, checksums and sizes are part of the record."""
    conversion_id = await world.pending()
    await world.completed(conversion_id)

    answer = await world.api.get(f"{ADDRESS}/{conversion_id}")

    body = answer.json()
    assert body["status"] == "completed"
    assert body["percent"] == 100
    assert body["output_filename"] == "a-1.webp"
    assert body["outputs"][0]["size_bytes"] == len(b"result")
    assert "key" not in body["outputs"][0]
    assert body["engine_versions"] == {"vips": "8.14"}
    assert body["expires_at"] > body["completed_at"]
    assert "retry-after" not in answer.headers


async def test_get_when_attempts_failed_then_errors_are_listed(world: World) -> None:
    """I4, M4: errors are a list, with codes and messages for people."""
    conversion_id = await world.pending()
    running = await world.claimed(conversion_id)
    await world.apply(fail(running, code="engine_crashed", message="The program crashed", now_ms=now_ms()))

    body = (await world.api.get(f"{ADDRESS}/{conversion_id}")).json()

    assert body["error"] == {"code": "engine_crashed", "message": "The program crashed", "retryable": True}
    assert body["errors"][0]["attempt"] == 1


async def test_get_when_etag_is_known_then_304_until_it_changes(world: World) -> None:
    conversion_id = await world.pending()
    address = f"{ADDRESS}/{conversion_id}"
    first = await world.api.get(address)
    known = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}

    same = await world.api.get(address, headers=known)
    await world.claimed(conversion_id)
    changed = await world.api.get(address, headers=known)

    assert same.status_code == 304
    assert same.content == b""
    assert same.headers["etag"] == first.headers["etag"]
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_get_when_asked_to_wait_then_answers_as_soon_as_it_is_done() -> None:
    async with running_world(sse_poll_s=0.005) as world:
        conversion_id = await world.pending()
        asking = asyncio.create_task(world.api.get(f"{ADDRESS}/{conversion_id}", headers={"Prefer": "wait=30"}))
        await world.completed(conversion_id)

        answer = await asyncio.wait_for(asking, 5)

        assert answer.json()["status"] == "completed"
        assert answer.headers["preference-applied"] == "wait=30"


async def test_get_when_the_wait_is_over_then_answers_as_it_is() -> None:
    async with running_world(max_wait_s=1, sse_poll_s=0.01) as world:
        conversion_id = await world.pending()
        world.service.close_streams()  # as good as the end of the wait, and sooner

        answer = await world.api.get(f"{ADDRESS}/{conversion_id}", headers={"Prefer": "respond-async, wait=900"})

        assert answer.json()["status"] == "pending"
        assert answer.headers["preference-applied"] == "wait=1"


@pytest.mark.parametrize("preference", ["wait=", "wait=abc", "wait=-1", "return=minimal", "wait=0"])
async def test_get_when_preference_is_unreadable_then_it_is_ignored(world: World, preference: str) -> None:
    conversion_id = await world.pending()

    answer = await world.api.get(f"{ADDRESS}/{conversion_id}", headers={"Prefer": preference})

    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize(
    "bad", ["x", "123", "%00", "..%2f..", "{019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10}", "019b2c5e6f0a7c319d523f1c5c0d7a10"]
)
async def test_every_route_when_id_is_malformed_then_400(world: World, bad: str) -> None:
    """C12."""
    addresses = ["", "/outputs", "/outputs/1", "/events"]

    answers = [await world.api.get(f"{ADDRESS}/{bad}{rest}") for rest in addresses]
    answers += [await world.api.post(f"{ADDRESS}/{bad}/{verb}") for verb in ("cancel", "retry")]
    answers += [await world.api.delete(f"{ADDRESS}/{bad}"), await world.api.get(f"/api/v1/files/{bad}")]

    for answer in answers:
        assert answer.status_code in {400, 404}, answer.text
        assert answer.json()["code"] in {"malformed_id", "not_found"}


async def test_get_when_id_is_in_capitals_then_found(world: World) -> None:
    conversion_id = await world.pending()

    assert (await world.api.get(f"{ADDRESS}/{conversion_id.upper()}")).status_code == 200


async def test_every_route_when_asked_by_another_owner_then_404(world: World) -> None:
    """C12: another owner's id is not there, and nothing of it changes."""
    conversion_id = await world.pending()
    await world.completed(conversion_id)
    address = f"{ADDRESS}/{conversion_id}"

    answers = [await world.stranger.get(f"{address}{rest}") for rest in ("", "/outputs", "/outputs/1", "/events")]
    answers += [await world.stranger.post(f"{address}/{verb}") for verb in ("cancel", "retry")]
    answers += [await world.stranger.delete(address), await world.api.get(f"{ADDRESS}/{UNKNOWN}")]

    for answer in answers:
        problem(answer, 404, "not_found")
    assert (await world.stranger.get(ADDRESS)).json() == {"conversions": [], "next": None}
    assert (await world.record(conversion_id)).status is Status.COMPLETED


async def test_list_when_walked_by_links_then_each_appears_once_newest_first(world: World) -> None:
    """C2: pagination by cursor, in the body and in the Link header."""
    made = [(await world.announced(PNG, f"{n}.png", "webp"))["conversion"]["id"] for n in range(5)]
    seen: list[str] = []
    address: str | None = f"{ADDRESS}?limit=2&status=awaiting_upload"
    while address:
        page = await world.api.get(address)
        seen += [one["id"] for one in page.json()["conversions"]]
        link = page.links.get("next", {}).get("url")
        assert (link is None) == (page.json()["next"] is None)
        address = link

    assert seen == made[::-1]


async def test_list_when_filtered_then_only_matching_ones(world: World) -> None:
    """M3: by client, by one or many statuses, by file, by target."""
    waiting = (await world.announced(PNG, "a.png", "webp", client_id="foyer"))["conversion"]["id"]
    pending = await world.pending(client_id="hall")
    running = await world.pending(client_id="hall")
    await world.claimed(running)
    file_id = (await world.record(pending)).file_id

    async def listed(query: str) -> set[str]:
        answer = await world.api.get(f"{ADDRESS}?{query}")
        assert answer.status_code == 200, answer.text
        return {one["id"] for one in answer.json()["conversions"]}

    assert await listed("client_id=hall") == {pending, running}
    assert await listed("status=pending") == {pending}
    assert await listed("status=pending,awaiting_upload") == {pending, waiting}
    assert await listed(f"file_id={file_id}") == {pending}
    assert await listed("target_format=WEBP") == {waiting, pending, running}
    assert await listed("target_format=pdf") == set()


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("status=done", "status"),
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=x", "/limit"),
        ("after=x", "after"),
        ("file_id=x", "file_id"),
        ("stauts=pending", "/stauts"),
        ("limit=1&limit=2", "limit"),
    ],
)
async def test_list_when_query_is_wrong_then_422_points_at_it(world: World, query: str, pointer: str) -> None:
    body = problem(await world.api.get(f"{ADDRESS}?{query}"), 422, "invalid_request")

    assert body["errors"][0]["pointer"] == pointer


async def test_outputs_when_completed_then_each_has_an_address_that_works(world: World) -> None:
    """C2: the converted file by presigned address, as a list and by redirection."""
    conversion_id = await world.pending()
    await world.completed(conversion_id, b"one", b"two")

    outputs = (await world.api.get(f"{ADDRESS}/{conversion_id}/outputs")).json()["outputs"]
    second = await world.api.get(f"{ADDRESS}/{conversion_id}/outputs/2?inline=true")

    assert [output["page"] for output in outputs] == [1, 2]
    assert await world.fetch(outputs[0]["url"]) == b"one"
    assert second.status_code == 307
    assert await world.fetch(second.headers["location"]) == b"two"
    assert "disposition=inline" in second.headers["location"]


@pytest.mark.parametrize(("number", "status"), [("0", 404), ("3", 404), ("x", 422), ("-1", 422), ("9" * 30, 422)])
async def test_output_when_number_is_wrong_then_problem(world: World, number: str, status: int) -> None:
    conversion_id = await world.pending()
    await world.completed(conversion_id, b"one", b"two")

    answer = await world.api.get(f"{ADDRESS}/{conversion_id}/outputs/{number}")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_outputs_when_not_completed_then_409(world: World) -> None:
    conversion_id = await world.pending()

    problem(await world.api.get(f"{ADDRESS}/{conversion_id}/outputs"), 409, "conflict")
    problem(await world.api.get(f"{ADDRESS}/{conversion_id}/outputs/1"), 409, "conflict")


async def test_cancel_when_it_waits_then_cancelled_at_once(world: World) -> None:
    conversion_id = await world.pending()

    answer = await world.api.post(f"{ADDRESS}/{conversion_id}/cancel")

    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert (await world.record(conversion_id)).publish_due is None


async def test_cancel_when_it_runs_then_worker_is_asked(world: World) -> None:
    conversion_id = await world.pending()
    await world.claimed(conversion_id)

    answer = await world.api.post(f"{ADDRESS}/{conversion_id}/cancel")

    assert answer.status_code == 202
    assert answer.json()["status"] == "processing"
    assert answer.json()["cancel_requested"] is True


async def test_cancel_when_it_has_ended_then_409(world: World) -> None:
    conversion_id = await world.pending()
    await world.completed(conversion_id)

    problem(await world.api.post(f"{ADDRESS}/{conversion_id}/cancel"), 409, "conflict")


async def test_retry_when_it_failed_then_pending_again_with_a_fresh_count(world: World) -> None:
    conversion_id = await world.pending()
    running = await world.claimed(conversion_id)
    await world.apply(fail(running, code="engine_crashed", message="crashed", now_ms=now_ms()))

    answer = await world.api.post(f"{ADDRESS}/{conversion_id}/retry")

    body = answer.json()
    assert answer.status_code == 202
    assert (body["status"], body["attempt"], body["error"]) == ("pending", 0, None)
    assert (await world.record(conversion_id)).token == running.token
    assert len(body["errors"]) == 1


@pytest.mark.parametrize("state", ["awaiting_upload", "pending", "processing", "completed"])
async def test_retry_when_it_has_not_failed_then_409(world: World, state: str) -> None:
    if state == "awaiting_upload":
        conversion_id = (await world.announced(PNG, "a.png", "webp"))["conversion"]["id"]
    else:
        conversion_id = await world.pending()
    if state == "processing":
        await world.claimed(conversion_id)
    if state == "completed":
        await world.completed(conversion_id)

    problem(await world.api.post(f"{ADDRESS}/{conversion_id}/retry"), 409, "conflict")


async def test_retry_when_the_source_is_gone_then_409_says_what_to_do(world: World) -> None:
    conversion_id = await world.pending()
    await world.api.post(f"{ADDRESS}/{conversion_id}/cancel")
    await world.api.delete(f"/api/v1/files/{(await world.record(conversion_id)).file_id}")

    answer = await world.api.post(f"{ADDRESS}/{conversion_id}/retry")

    assert "upload it again" in problem(answer, 409, "conflict")["detail"]


async def test_retry_when_the_source_never_came_then_409(world: World) -> None:
    conversion_id = (await world.announced(PNG, "a.png", "webp"))["conversion"]["id"]
    await world.api.post(f"{ADDRESS}/{conversion_id}/cancel")

    problem(await world.api.post(f"{ADDRESS}/{conversion_id}/retry"), 409, "conflict")


async def test_delete_when_ended_then_record_and_results_are_gone(world: World) -> None:
    """M3: delete an entry."""
    conversion_id = await world.pending()
    await world.completed(conversion_id, b"one", b"two")

    answer = await world.api.delete(f"{ADDRESS}/{conversion_id}")

    assert answer.status_code == 204
    assert await world.objects.list_keys("t/anna/out/") == []
    problem(await world.api.get(f"{ADDRESS}/{conversion_id}"), 404, "not_found")


@pytest.mark.parametrize("is_running", [False, True])
async def test_delete_when_it_is_alive_then_409(world: World, is_running: bool) -> None:
    conversion_id = await world.pending()
    if is_running:
        await world.claimed(conversion_id)

    problem(await world.api.delete(f"{ADDRESS}/{conversion_id}"), 409, "conflict")


async def test_get_when_handed_back_then_lane_is_high_and_attempt_is_not_charged(world: World) -> None:
    conversion_id = await world.pending()
    await world.apply(hand_back(await world.claimed(conversion_id), now_ms=now_ms()))

    body = (await world.api.get(f"{ADDRESS}/{conversion_id}")).json()

    assert (body["status"], body["lane"], body["attempt"], body["worker"]) == ("pending", "high", 0, None)


async def test_create_when_file_is_deleted_then_404(world: World) -> None:
    file_id = (await world.record(await world.pending(PDF, "a.pdf", "png"))).file_id
    await world.api.delete(f"/api/v1/files/{file_id}")

    answer = await world.api.post(ADDRESS, json={"target_format": "png", "file_id": file_id})

    problem(answer, 404, "not_found")
