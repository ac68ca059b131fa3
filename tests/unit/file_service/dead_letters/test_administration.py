"""Dead letters over HTTP: access, explanation, requeueing and dropping (C4, C12)."""

from typing import Any

import msgspec
import pytest

from converto_core.conversion.processing import fail
from converto_core.conversion.record import Lane, Status
from converto_core.conversion.transitions import cancel_waiting
from converto_core.dead_letters import BODY_KEPT_BYTES, DeadLetteredMessage
from converto_core.events import conversion_created, encode
from converto_core.formats import Family
from converto_core.ids import new_id, now_ms
from file_service.http.routes.dead_letters import PAGE
from tests.contract.samples import a_message, an_event
from tests.unit.file_service.conftest import System, problem

ADDRESS = "/api/v1/admin/parked"
UNKNOWN_ID = "01a2284a-1db1-755f-ac3a-431fead720c8"


async def dead_letter(system: System, body: bytes, *, verdict: str = "rejected", died_at: int = 0) -> str:
    """Dead-letter a message, collect it and return its id."""
    letter = DeadLetteredMessage(
        body=body, routing_key="conversion_created.normal.image", queue="conversions.image.normal", verdict=verdict,
        deaths=1, died_at=died_at or now_ms(),
    )  # fmt: skip
    system.bus.add_dead_letter(letter)

    async def is_stored() -> bool:
        return await system.stores.dead_letters.get(letter.id) is not None

    await system.collector().sweep()
    await system.until(is_stored)  # the service's own first sweep may have been quicker
    return letter.id


async def a_dead_lettered_message(system: System, **fields: Any) -> tuple[str, str]:
    """Dead-letter the message of a pending conversion; returns the ids of the message and the conversion."""
    conversion_id = await system.pending()
    event = conversion_created(await system.record(conversion_id))
    return await dead_letter(system, encode(event), verdict="delivery_limit", **fields), conversion_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ADDRESS),
        ("GET", f"{ADDRESS}/{UNKNOWN_ID}"),
        ("POST", f"{ADDRESS}/{UNKNOWN_ID}/requeue"),
        ("DELETE", f"{ADDRESS}/{UNKNOWN_ID}"),
        ("POST", f"{ADDRESS}/requeue"),
        ("POST", f"{ADDRESS}/drop"),
    ],
)
async def test_every_route_requires_an_administrator(system: System, method: str, path: str) -> None:
    await dead_letter(system, b"rubbish")

    refused = problem(await system.api.request(method, path), 403, "forbidden")

    assert "administrator's API key" in refused["detail"]
    assert len((await system.admin.get(ADDRESS)).json()["messages"]) == 1


async def test_whoami_when_asked_then_says_who_is_an_administrator(system: System) -> None:
    assert (await system.api.get("/api/v1/whoami")).json()["is_admin"] is False
    assert (await system.admin.get("/api/v1/whoami")).json()["is_admin"] is True


async def test_list_is_paged_filtered_and_without_bodies(system: System) -> None:
    now = now_ms()
    ids = [await dead_letter(system, b"rubbish %d" % number, died_at=now + number) for number in range(3)]
    newest_id, conversion_id = await a_dead_lettered_message(system, died_at=now + 9)

    first = await system.admin.get(f"{ADDRESS}?limit=3")
    rest = await system.admin.get(first.links["next"]["url"])
    unreadable = (await system.admin.get(f"{ADDRESS}?reason=unreadable")).json()["messages"]
    of_one = (await system.admin.get(f"{ADDRESS}?conversion_id={conversion_id}")).json()["messages"]

    assert [one["id"] for one in first.json()["messages"]] == [newest_id, ids[2], ids[1]]
    assert [one["id"] for one in rest.json()["messages"]] == [ids[0]]
    assert rest.json()["next"] is None
    assert [one["id"] for one in unreadable] == ids[::-1]
    assert [one["id"] for one in of_one] == [newest_id]
    assert "body" not in of_one[0]
    assert of_one[0]["conversion_then"]["status"] == "pending"


async def test_list_when_the_query_is_wrong_then_422(system: System) -> None:
    for query in ("reason=bad+luck", "limit=0", "after=x", "colour=red"):
        problem(await system.admin.get(f"{ADDRESS}?{query}"), 422, "invalid_request")


async def test_message_when_shown_then_says_why_and_what_to_do(system: System) -> None:
    message_id = await dead_letter(system, b"rubbish")

    shown = (await system.admin.get(f"{ADDRESS}/{message_id}")).json()

    assert (shown["reason"], shown["verdict"], shown["body"]) == ("unreadable", "rejected", "rubbish")
    assert (shown["queue"], shown["routing_key"]) == ("conversions.image.normal", "conversion_created.normal.image")
    assert (shown["outlook"], shown["conversion_now"]) == ("unreadable", None)
    assert "Drop it" in shown["advice"]


async def test_message_shows_conversion_then_and_now(system: System) -> None:
    """The dead letter keeps the last error; the current state is read again."""
    message_id, conversion_id = await a_dead_lettered_message(system)
    running = await system.claimed(conversion_id)
    await system.apply(fail(running, code="engine_crashed", message="It crashed", now_ms=now_ms()))

    shown = (await system.admin.get(f"{ADDRESS}/{message_id}")).json()
    refused = problem(await system.admin.post(f"{ADDRESS}/{message_id}/requeue"), 409, "conflict")

    assert shown["conversion_then"]["status"] == "pending"
    assert (shown["conversion_now"]["status"], shown["conversion_now"]["owner"]) == ("failed", "anna")
    assert shown["conversion_now"]["error_code"] == "engine_crashed"
    assert shown["outlook"] == "ended"
    assert f"converto retry {conversion_id}" in refused["detail"]


async def test_message_when_unknown_or_malformed_then_404_and_400(system: System) -> None:
    for method, path in (("GET", ""), ("POST", "/requeue"), ("DELETE", "")):
        problem(await system.admin.request(method, f"{ADDRESS}/{new_id()}{path}"), 404, "not_found")
        problem(await system.admin.request(method, f"{ADDRESS}/x{path}"), 400, "malformed_id")


async def test_requeue_publishes_now_and_deletes_the_dead_letter(
    system: System,
) -> None:
    message_id, conversion_id = await a_dead_lettered_message(system)

    async def published(times: int) -> bool:
        return system.bus.waiting(Family.IMAGE, Lane.NORMAL) == times

    await system.until(lambda: published(1))
    answer = await system.admin.post(f"{ADDRESS}/{message_id}/requeue")
    await system.until(lambda: published(2))

    assert answer.status_code == 202
    assert answer.json()["conversion_now"]["status"] == "pending"
    problem(await system.admin.get(f"{ADDRESS}/{message_id}"), 404, "not_found")
    assert (await system.record(conversion_id)).status is Status.PENDING


async def test_requeue_when_repeated_with_its_key_then_the_same_answer(system: System) -> None:
    message_id, _ = await a_dead_lettered_message(system)
    key = {"Idempotency-Key": "once"}

    first = await system.admin.post(f"{ADDRESS}/{message_id}/requeue", headers=key)
    again = await system.admin.post(f"{ADDRESS}/{message_id}/requeue", headers=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotent-replayed"] == "true"
    assert first.content == again.content


async def test_requeue_of_an_old_message_uses_the_current_token(
    system: System,
) -> None:
    """The old bytes are never published again: the record has the current token."""
    message_id, conversion_id = await a_dead_lettered_message(system)
    old = (await system.record(conversion_id)).token
    await system.apply(fail(await system.claimed(conversion_id), code="x", message="x", now_ms=now_ms()))
    await system.api.post(f"/api/v1/conversions/{conversion_id}/retry")
    assert (await system.record(conversion_id)).token > old

    assert (await system.admin.post(f"{ADDRESS}/{message_id}/requeue")).status_code == 202


@pytest.mark.parametrize(
    ("body", "resolution", "words"),
    [
        (b"rubbish", "unreadable", "cannot be read"),
        (encode(msgspec.structs.replace(a_message("one"), v=99)), "unreadable", "update this server"),
        (b" " * (BODY_KEPT_BYTES + 1), "unreadable", "larger than"),
        (encode(an_event("one")), "no_wakeup", "starts no work"),
        (encode(a_message(new_id())), "gone", "deleted"),
    ],
)
async def test_requeue_without_pending_conversion_is_409_with_the_reason(
    system: System, body: bytes, resolution: str, words: str
) -> None:
    message_id = await dead_letter(system, body)

    refused = problem(await system.admin.post(f"{ADDRESS}/{message_id}/requeue"), 409, "conflict")

    assert words in refused["detail"]
    assert (await system.admin.get(f"{ADDRESS}/{message_id}")).json()["outlook"] == resolution


async def test_requeue_when_the_conversion_runs_or_is_done_then_409(system: System) -> None:
    message_id, conversion_id = await a_dead_lettered_message(system)
    other_id, done_id = await a_dead_lettered_message(system)
    await system.claimed(conversion_id)
    await system.completed(done_id)

    for one, words in ((message_id, "is running the conversion"), (other_id, "is completed")):
        refused = problem(await system.admin.post(f"{ADDRESS}/{one}/requeue"), 409, "conflict")
        assert words in refused["detail"]
        assert (await system.admin.get(f"{ADDRESS}/{one}")).json()["outlook"] == "superseded"


async def test_unreadable_when_the_server_learns_to_read_it_then_requeued(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion_id = await system.pending()
    newer = msgspec.structs.replace(conversion_created(await system.record(conversion_id)), v=2)
    message_id = await dead_letter(system, encode(newer))
    problem(await system.admin.post(f"{ADDRESS}/{message_id}/requeue"), 409, "conflict")

    monkeypatch.setattr("converto_core.events.VERSION", 2)

    assert (await system.admin.post(f"{ADDRESS}/{message_id}/requeue")).status_code == 202


async def test_drop_deletes_the_message_but_not_the_conversion(system: System) -> None:
    message_id, conversion_id = await a_dead_lettered_message(system)
    before = await system.record(conversion_id)

    answer = await system.admin.delete(f"{ADDRESS}/{message_id}")

    assert answer.status_code == 204
    problem(await system.admin.delete(f"{ADDRESS}/{message_id}"), 404, "not_found")
    assert (await system.record(conversion_id)).token == before.token


async def test_requeue_many_lists_what_it_refused(system: System) -> None:
    rubbish = await dead_letter(system, b"rubbish")
    await a_dead_lettered_message(system)
    cancelled_message, cancelled = await a_dead_lettered_message(system)
    await system.apply(cancel_waiting(cancelled, owner="anna", now_ms=now_ms()))

    answer = (await system.admin.post(f"{ADDRESS}/requeue", json={})).json()

    assert (answer["settled"], answer["next"]) == (1, None)
    assert {one["id"] for one in answer["refusals"]} == {rubbish, cancelled_message}
    left = (await system.admin.get(ADDRESS)).json()["messages"]
    assert {one["id"] for one in left} == {rubbish, cancelled_message}


async def test_dropping_by_filter_goes_page_by_page(system: System) -> None:
    for number in range(PAGE + 1):
        await dead_letter(system, b"rubbish %d" % number)
    kept, _ = await a_dead_lettered_message(system)

    first = (await system.admin.post(f"{ADDRESS}/drop", json={"reason": "unreadable"})).json()
    rest = (await system.admin.post(f"{ADDRESS}/drop", json={"reason": "unreadable", "after": first["next"]})).json()

    assert (first["settled"], rest["settled"], rest["next"]) == (PAGE, 1, None)
    assert [one["id"] for one in (await system.admin.get(ADDRESS)).json()["messages"]] == [kept]


async def test_settle_many_when_the_body_is_wrong_then_422(system: System) -> None:
    for body in ({"reason": "bad luck"}, {"after": "x"}, {"all": True}, {"conversion_id": ""}):
        problem(await system.admin.post(f"{ADDRESS}/drop", json=body), 422, "invalid_request")


async def test_database_when_away_then_503_with_retry_after(system: System) -> None:
    """C8."""
    await system.admin.get(ADDRESS)
    system.stores.is_away = True

    answer = await system.admin.get(ADDRESS)

    problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
