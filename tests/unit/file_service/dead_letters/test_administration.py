"""DeadLetters messages over HTTP: who may see them, what they say, and how they are settled (C4, C12)."""

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
from tests.contract.samples import a_message, an_event
from tests.unit.file_service.conftest import World, problem

PLACE = "/api/v1/admin/parked"


async def parked(world: World, body: bytes, *, verdict: str = "rejected", died_at: int = 0) -> str:
    """A message that was set aside and found by the sweep; its id."""
    letter = DeadLetteredMessage(
        body=body, routing_key="conversion_created.normal.image", queue="conversions.image.normal", verdict=verdict,
        deaths=1, died_at=died_at or now_ms(),
    )  # fmt: skip
    world.bus.add_dead_letter(letter)

    async def is_stored() -> bool:
        return await world.stores.dead_letters.get(letter.id) is not None

    await world.parking().sweep()
    await world.until(is_stored)  # the service's own first sweep may have been quicker
    return letter.id


async def a_parked_wakeup(world: World, **fields: Any) -> tuple[str, str]:
    """The wake-up of a pending conversion, set aside; the ids of the message and of the conversion."""
    conversion_id = await world.pending()
    event = conversion_created(await world.record(conversion_id))
    return await parked(world, encode(event), verdict="delivery_limit", **fields), conversion_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", PLACE),
        ("GET", f"{PLACE}/{new_id()}"),
        ("POST", f"{PLACE}/{new_id()}/requeue"),
        ("DELETE", f"{PLACE}/{new_id()}"),
        ("POST", f"{PLACE}/requeue"),
        ("POST", f"{PLACE}/drop"),
    ],
)
async def test_every_place_when_the_key_is_no_administrators_then_403_and_what_to_do(
    world: World, method: str, path: str
) -> None:
    await parked(world, b"rubbish")

    refused = problem(await world.api.request(method, path), 403, "forbidden")

    assert "administrator's API key" in refused["detail"]
    assert len((await world.admin.get(PLACE)).json()["messages"]) == 1


async def test_whoami_when_asked_then_says_who_is_an_administrator(world: World) -> None:
    assert (await world.api.get("/api/v1/whoami")).json()["is_admin"] is False
    assert (await world.admin.get("/api/v1/whoami")).json()["is_admin"] is True


async def test_list_when_paged_and_filtered_then_newest_first_and_without_bodies(world: World) -> None:
    now = now_ms()
    ids = [await parked(world, b"rubbish %d" % number, died_at=now + number) for number in range(3)]
    wakeup_id, conversion_id = await a_parked_wakeup(world, died_at=now + 9)

    first = await world.admin.get(f"{PLACE}?limit=3")
    rest = await world.admin.get(first.links["next"]["url"])
    unreadable = (await world.admin.get(f"{PLACE}?reason=unreadable")).json()["messages"]
    of_one = (await world.admin.get(f"{PLACE}?conversion_id={conversion_id}")).json()["messages"]

    assert [one["id"] for one in first.json()["messages"]] == [wakeup_id, ids[2], ids[1]]
    assert [one["id"] for one in rest.json()["messages"]] == [ids[0]]
    assert rest.json()["next"] is None
    assert [one["id"] for one in unreadable] == ids[::-1]
    assert [one["id"] for one in of_one] == [wakeup_id]
    assert "body" not in of_one[0]
    assert of_one[0]["conversion_then"]["status"] == "pending"


async def test_list_when_the_query_is_wrong_then_422(world: World) -> None:
    for query in ("reason=bad+luck", "limit=0", "after=x", "colour=red"):
        problem(await world.admin.get(f"{PLACE}?{query}"), 422, "invalid_request")


async def test_message_when_shown_then_says_why_and_what_to_do(world: World) -> None:
    message_id = await parked(world, b"rubbish")

    shown = (await world.admin.get(f"{PLACE}/{message_id}")).json()

    assert (shown["reason"], shown["verdict"], shown["body"]) == ("unreadable", "rejected", "rubbish")
    assert (shown["queue"], shown["routing_key"]) == ("conversions.image.normal", "conversion_created.normal.image")
    assert (shown["outlook"], shown["conversion_now"]) == ("unreadable", None)
    assert "drop it" in shown["advice"]


async def test_message_when_its_conversion_has_failed_since_then_both_are_told(world: World) -> None:
    """The last error is kept, and what holds now is looked up."""
    message_id, conversion_id = await a_parked_wakeup(world)
    running = await world.claimed(conversion_id)
    await world.apply(fail(running, code="engine_crashed", message="It crashed", now_ms=now_ms()))

    shown = (await world.admin.get(f"{PLACE}/{message_id}")).json()
    refused = problem(await world.admin.post(f"{PLACE}/{message_id}/requeue"), 409, "conflict")

    assert shown["conversion_then"]["status"] == "pending"
    assert (shown["conversion_now"]["status"], shown["conversion_now"]["owner"]) == ("failed", "anna")
    assert shown["conversion_now"]["error_code"] == "engine_crashed"
    assert shown["outlook"] == "ended"
    assert f"converto retry {conversion_id}" in refused["detail"]


async def test_message_when_unknown_or_malformed_then_404_and_400(world: World) -> None:
    for method, path in (("GET", ""), ("POST", "/requeue"), ("DELETE", "")):
        problem(await world.admin.request(method, f"{PLACE}/{new_id()}{path}"), 404, "not_found")
        problem(await world.admin.request(method, f"{PLACE}/x{path}"), 400, "malformed_id")


async def test_requeue_when_the_conversion_waits_then_its_wakeup_leaves_now_and_the_message_is_gone(
    world: World,
) -> None:
    message_id, conversion_id = await a_parked_wakeup(world)

    async def published(times: int) -> bool:
        return world.bus.waiting(Family.IMAGE, Lane.NORMAL) == times

    await world.until(lambda: published(1))
    answer = await world.admin.post(f"{PLACE}/{message_id}/requeue")
    await world.until(lambda: published(2))

    assert answer.status_code == 202
    assert answer.json()["conversion_now"]["status"] == "pending"
    problem(await world.admin.get(f"{PLACE}/{message_id}"), 404, "not_found")
    assert (await world.record(conversion_id)).status is Status.PENDING


async def test_requeue_when_repeated_with_its_key_then_the_same_answer(world: World) -> None:
    message_id, _ = await a_parked_wakeup(world)
    key = {"Idempotency-Key": "once"}

    first = await world.admin.post(f"{PLACE}/{message_id}/requeue", headers=key)
    again = await world.admin.post(f"{PLACE}/{message_id}/requeue", headers=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotent-replayed"] == "true"
    assert first.content == again.content


async def test_requeue_when_the_wakeup_is_older_than_the_conversions_token_then_the_present_one_leaves(
    world: World,
) -> None:
    """The bytes of a message are never published again: the record knows the token that holds."""
    message_id, conversion_id = await a_parked_wakeup(world)
    old = (await world.record(conversion_id)).token
    await world.apply(fail(await world.claimed(conversion_id), code="x", message="x", now_ms=now_ms()))
    await world.api.post(f"/api/v1/conversions/{conversion_id}/retry")
    assert (await world.record(conversion_id)).token > old

    assert (await world.admin.post(f"{PLACE}/{message_id}/requeue")).status_code == 202


@pytest.mark.parametrize(
    ("body", "outlook", "words"),
    [
        (b"rubbish", "unreadable", "cannot be read"),
        (encode(msgspec.structs.replace(a_message("one"), v=99)), "unreadable", "update this server"),
        (b" " * (BODY_KEPT_BYTES + 1), "unreadable", "no wake-up is that large"),
        (encode(an_event("one")), "no_wakeup", "wakes nobody"),
        (encode(a_message(new_id())), "gone", "deleted"),
    ],
)
async def test_requeue_when_nothing_waits_for_it_then_409_says_why_and_the_message_stays(
    world: World, body: bytes, outlook: str, words: str
) -> None:
    message_id = await parked(world, body)

    refused = problem(await world.admin.post(f"{PLACE}/{message_id}/requeue"), 409, "conflict")

    assert words in refused["detail"]
    assert (await world.admin.get(f"{PLACE}/{message_id}")).json()["outlook"] == outlook


async def test_requeue_when_the_conversion_runs_or_is_done_then_409(world: World) -> None:
    message_id, conversion_id = await a_parked_wakeup(world)
    other_id, done_id = await a_parked_wakeup(world)
    await world.claimed(conversion_id)
    await world.completed(done_id)

    for one, words in ((message_id, "runs its conversion now"), (other_id, "is completed")):
        refused = problem(await world.admin.post(f"{PLACE}/{one}/requeue"), 409, "conflict")
        assert words in refused["detail"]
        assert (await world.admin.get(f"{PLACE}/{one}")).json()["outlook"] == "superseded"


async def test_unreadable_when_the_server_learns_to_read_it_then_requeued(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion_id = await world.pending()
    newer = msgspec.structs.replace(conversion_created(await world.record(conversion_id)), v=2)
    message_id = await parked(world, encode(newer))
    problem(await world.admin.post(f"{PLACE}/{message_id}/requeue"), 409, "conflict")

    monkeypatch.setattr("converto_core.events.VERSION", 2)

    assert (await world.admin.post(f"{PLACE}/{message_id}/requeue")).status_code == 202


async def test_drop_when_asked_then_the_message_is_gone_and_the_conversion_stays(world: World) -> None:
    message_id, conversion_id = await a_parked_wakeup(world)
    before = await world.record(conversion_id)

    answer = await world.admin.delete(f"{PLACE}/{message_id}")

    assert answer.status_code == 204
    problem(await world.admin.delete(f"{PLACE}/{message_id}"), 404, "not_found")
    assert (await world.record(conversion_id)).token == before.token


async def test_requeue_many_when_some_cannot_be_then_counted_and_told_why(world: World) -> None:
    rubbish = await parked(world, b"rubbish")
    await a_parked_wakeup(world)
    cancelled_message, cancelled = await a_parked_wakeup(world)
    await world.apply(cancel_waiting(cancelled, owner="anna", now_ms=now_ms()))

    answer = (await world.admin.post(f"{PLACE}/requeue", json={})).json()

    assert (answer["settled"], answer["next"]) == (1, None)
    assert {one["id"] for one in answer["refusals"]} == {rubbish, cancelled_message}
    left = (await world.admin.get(PLACE)).json()["messages"]
    assert {one["id"] for one in left} == {rubbish, cancelled_message}


async def test_drop_many_when_filtered_then_only_those_and_page_after_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_service.http.routes.dead_letters.PAGE", 2)
    for number in range(3):
        await parked(world, b"rubbish %d" % number)
    kept, _ = await a_parked_wakeup(world)

    first = (await world.admin.post(f"{PLACE}/drop", json={"reason": "unreadable"})).json()
    rest = (await world.admin.post(f"{PLACE}/drop", json={"reason": "unreadable", "after": first["next"]})).json()

    assert (first["settled"], rest["settled"], rest["next"]) == (2, 1, None)
    assert [one["id"] for one in (await world.admin.get(PLACE)).json()["messages"]] == [kept]


async def test_settle_many_when_the_body_is_wrong_then_422(world: World) -> None:
    for body in ({"reason": "bad luck"}, {"after": "x"}, {"all": True}, {"conversion_id": ""}):
        problem(await world.admin.post(f"{PLACE}/drop", json=body), 422, "invalid_request")


async def test_database_when_away_then_503_with_retry_after(world: World) -> None:
    """C8."""
    await world.admin.get(PLACE)
    world.stores.is_away = True

    answer = await world.admin.get(PLACE)

    problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
