"""Reading conversions: state, ETag, waits, ids, lists, outputs (I4, M3, M4, C2, C12)."""

import asyncio

import pytest

from converto_core.conversion.processing import beat, fail, hand_back
from converto_core.conversion.record import Status
from converto_core.ids import now_ms
from tests.unit.file_service.conftest import PNG, System, problem, running_system

ADDRESS = "/api/v1/conversions"
UNKNOWN = "019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10"


async def test_running_conversion_shows_progress_worker_and_start(system: System) -> None:
    """I4, C2."""
    conversion_id = await system.pending()
    running = await system.claimed(conversion_id)
    await system.apply(beat(conversion_id, token=running.token, now_ms=now_ms(), percent=42.0, stage="rendering"))

    answer = await system.api.get(f"{ADDRESS}/{conversion_id}")

    body = answer.json()
    assert (body["status"], body["percent"], body["stage"], body["worker"]) == ("processing", 42.0, "rendering", "w1")
    assert body["started_at"] is not None
    assert body["attempt"] == 1
    assert answer.headers["retry-after"] == "1"


async def test_remaining_time_is_a_range_and_keeps_the_etag(
    system: System,
) -> None:
    """C2: the estimate changes only when the record does."""
    conversion_id = await system.pending()
    running = await system.claimed(conversion_id)
    early = (await system.api.get(f"{ADDRESS}/{conversion_id}")).json()
    later_ms = (running.started_at or 0) + 30_000
    await system.apply(beat(conversion_id, token=running.token, now_ms=later_ms, percent=50.0))

    first, second = [await system.api.get(f"{ADDRESS}/{conversion_id}") for _ in range(2)]

    assert early["remaining"] is None
    assert first.json()["remaining"] == {"low_s": 15.0, "high_s": 60.0, "based_on": 0}
    assert first.headers["etag"] == second.headers["etag"]


async def test_get_when_completed_then_outputs_versions_and_expiry_are_shown(system: System) -> None:
    """I4, M4: the current (output) filename, checksums and sizes are part of the record."""
    conversion_id = await system.pending()
    await system.completed(conversion_id)

    answer = await system.api.get(f"{ADDRESS}/{conversion_id}")

    body = answer.json()
    assert body["status"] == "completed"
    assert body["percent"] == 100
    assert body["output_filename"] == "a-1.webp"
    assert body["outputs"][0]["size_bytes"] == len(b"result")
    assert "key" not in body["outputs"][0]
    assert body["engine_versions"] == {"vips": "8.14"}
    assert body["expires_at"] > body["completed_at"]
    assert "retry-after" not in answer.headers


async def test_get_when_attempts_failed_then_errors_are_listed(system: System) -> None:
    """I4, M4: errors are a list, with codes and messages for people."""
    conversion_id = await system.pending()
    running = await system.claimed(conversion_id)
    await system.apply(fail(running, code="engine_crashed", message="The program crashed", now_ms=now_ms()))

    body = (await system.api.get(f"{ADDRESS}/{conversion_id}")).json()

    assert body["error"] == {"code": "engine_crashed", "message": "The program crashed", "retryable": True}
    assert body["errors"][0]["attempt"] == 1


async def test_get_when_etag_is_known_then_304_until_it_changes(system: System) -> None:
    conversion_id = await system.pending()
    address = f"{ADDRESS}/{conversion_id}"
    first = await system.api.get(address)
    known = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}

    same = await system.api.get(address, headers=known)
    await system.claimed(conversion_id)
    changed = await system.api.get(address, headers=known)

    assert same.status_code == 304
    assert same.content == b""
    assert same.headers["etag"] == first.headers["etag"]
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_wait_responds_when_the_conversion_ends() -> None:
    async with running_system(sse_poll_s=0.005) as system:
        conversion_id = await system.pending()
        asking = asyncio.create_task(system.api.get(f"{ADDRESS}/{conversion_id}", headers={"Prefer": "wait=30"}))
        await system.completed(conversion_id)

        answer = await asyncio.wait_for(asking, 5)

        assert answer.json()["status"] == "completed"
        assert answer.headers["preference-applied"] == "wait=30"


async def test_wait_that_times_out_returns_the_current_state() -> None:
    async with running_system(max_wait_s=1, sse_poll_s=0.01) as system:
        conversion_id = await system.pending()
        system.service.close_streams()  # as good as the end of the wait, and sooner

        answer = await system.api.get(f"{ADDRESS}/{conversion_id}", headers={"Prefer": "respond-async, wait=900"})

        assert answer.json()["status"] == "pending"
        assert answer.headers["preference-applied"] == "wait=1"


@pytest.mark.parametrize("preference", ["wait=", "wait=abc", "wait=-1", "return=minimal", "wait=0"])
async def test_get_when_preference_is_unreadable_then_it_is_ignored(system: System, preference: str) -> None:
    conversion_id = await system.pending()

    answer = await system.api.get(f"{ADDRESS}/{conversion_id}", headers={"Prefer": preference})

    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize(
    "bad", ["x", "123", "%00", "..%2f..", "{019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10}", "019b2c5e6f0a7c319d523f1c5c0d7a10"]
)
async def test_every_route_when_id_is_malformed_then_400(system: System, bad: str) -> None:
    """C12."""
    addresses = ["", "/outputs", "/outputs/1", "/events"]

    answers = [await system.api.get(f"{ADDRESS}/{bad}{rest}") for rest in addresses]
    answers += [await system.api.post(f"{ADDRESS}/{bad}/{verb}") for verb in ("cancel", "retry")]
    answers += [await system.api.delete(f"{ADDRESS}/{bad}"), await system.api.get(f"/api/v1/files/{bad}")]

    for answer in answers:
        assert answer.status_code in {400, 404}, answer.text
        assert answer.json()["code"] in {"malformed_id", "not_found"}


async def test_get_when_id_is_in_capitals_then_found(system: System) -> None:
    conversion_id = await system.pending()

    assert (await system.api.get(f"{ADDRESS}/{conversion_id.upper()}")).status_code == 200


async def test_every_route_when_asked_by_another_owner_then_404(system: System) -> None:
    """C12: another owner's id does not exist, and the request changes nothing."""
    conversion_id = await system.pending()
    await system.completed(conversion_id)
    address = f"{ADDRESS}/{conversion_id}"

    answers = [await system.stranger.get(f"{address}{rest}") for rest in ("", "/outputs", "/outputs/1", "/events")]
    answers += [await system.stranger.post(f"{address}/{verb}") for verb in ("cancel", "retry")]
    answers += [await system.stranger.delete(address), await system.api.get(f"{ADDRESS}/{UNKNOWN}")]

    for answer in answers:
        problem(answer, 404, "not_found")
    assert (await system.stranger.get(ADDRESS)).json() == {"conversions": [], "next": None}
    assert (await system.record(conversion_id)).status is Status.COMPLETED


async def test_list_pages_hold_each_conversion_once_newest_first(system: System) -> None:
    """C2: pagination by cursor, in the body and in the Link header."""
    made = [(await system.announced(PNG, f"{n}.png", "webp"))["conversion"]["id"] for n in range(5)]
    seen: list[str] = []
    address: str | None = f"{ADDRESS}?limit=2&status=awaiting_upload"
    while address:
        page = await system.api.get(address)
        seen += [one["id"] for one in page.json()["conversions"]]
        link = page.links.get("next", {}).get("url")
        assert (link is None) == (page.json()["next"] is None)
        address = link

    assert seen == made[::-1]


async def test_list_when_filtered_then_only_matching_ones(system: System) -> None:
    """M3: by client, by one or many statuses, by file, by target."""
    waiting = (await system.announced(PNG, "a.png", "webp", client_id="foyer"))["conversion"]["id"]
    pending = await system.pending(client_id="hall")
    running = await system.pending(client_id="hall")
    await system.claimed(running)
    file_id = (await system.record(pending)).file_id

    async def listed(query: str) -> set[str]:
        answer = await system.api.get(f"{ADDRESS}?{query}")
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
async def test_list_when_query_is_wrong_then_422_points_at_it(system: System, query: str, pointer: str) -> None:
    body = problem(await system.api.get(f"{ADDRESS}?{query}"), 422, "invalid_request")

    assert body["errors"][0]["pointer"] == pointer


async def test_outputs_when_completed_then_each_has_an_address_that_works(system: System) -> None:
    """C2: presigned URLs of the outputs, in a list and by redirect."""
    conversion_id = await system.pending()
    await system.completed(conversion_id, b"one", b"two")

    outputs = (await system.api.get(f"{ADDRESS}/{conversion_id}/outputs")).json()["outputs"]
    second = await system.api.get(f"{ADDRESS}/{conversion_id}/outputs/2?inline=true")

    assert [output["page"] for output in outputs] == [1, 2]
    assert await system.fetch(outputs[0]["url"]) == b"one"
    assert second.status_code == 307
    assert await system.fetch(second.headers["location"]) == b"two"
    assert "disposition=inline" in second.headers["location"]


@pytest.mark.parametrize(("number", "status"), [("0", 404), ("3", 404), ("x", 422), ("-1", 422), ("9" * 30, 422)])
async def test_output_when_number_is_wrong_then_problem(system: System, number: str, status: int) -> None:
    conversion_id = await system.pending()
    await system.completed(conversion_id, b"one", b"two")

    answer = await system.api.get(f"{ADDRESS}/{conversion_id}/outputs/{number}")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_outputs_when_not_completed_then_409(system: System) -> None:
    conversion_id = await system.pending()

    problem(await system.api.get(f"{ADDRESS}/{conversion_id}/outputs"), 409, "conflict")
    problem(await system.api.get(f"{ADDRESS}/{conversion_id}/outputs/1"), 409, "conflict")


async def test_handed_back_conversion_is_high_lane_without_an_attempt(system: System) -> None:
    conversion_id = await system.pending()
    await system.apply(hand_back(await system.claimed(conversion_id), now_ms=now_ms()))

    body = (await system.api.get(f"{ADDRESS}/{conversion_id}")).json()

    assert (body["status"], body["lane"], body["attempt"], body["worker"]) == ("pending", "high", 0, None)
