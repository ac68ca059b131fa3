"""Owners of tokens: nobody sees another's records, whatever a claim holds; streams end with their token (M17)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from converto_core.caller import Caller
from converto_core.ids import now_ms
from file_service.http.routes.events import encoded_events
from tests.issuer import AUDIENCE, REMOVED, LocalIssuer
from tests.unit.file_service.access_tokens.conftest import Secured, secured_system
from tests.unit.file_service.conftest import PNG, Events, problem

NEW = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": len(PNG)}}


async def created(secured: Secured, token: str, **headers: str) -> dict[str, Any]:
    answer = await secured.send("POST", "/conversions", token, json=NEW, **headers)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_conversion_runs_for_the_owner_of_the_token(secured: Secured) -> None:
    token = secured.issuer.token(sub="anna@example.com")
    new = await created(secured, token)
    assert "/t/oidc.anna=40example.com/in/" in new["upload"]["url"].replace("%3D", "=")

    assert await secured.system.send(new["upload"], PNG) == 200
    confirmed = await secured.send("POST", f"/files/{new['file']['id']}/uploaded", token)
    assert confirmed.status_code == 200
    done = await secured.system.completed(new["conversion"]["id"], b"result")

    outputs = (await secured.get(f"/conversions/{done.id}/outputs", token)).json()["outputs"]
    assert await secured.system.fetch(outputs[0]["url"]) == b"result"
    assert done.owner == "oidc.anna=40example.com"


async def test_token_and_key_of_one_name_are_two_owners(secured: Secured) -> None:
    """The API key of `system.api` belongs to anna, the token's `sub` is anna."""
    by_key = (await secured.system.api.post("/api/v1/conversions", json=NEW)).json()
    by_token = await created(secured, secured.issuer.token(sub="anna"))

    assert (await secured.get("/conversions")).json()["conversions"][0]["id"] == by_token["conversion"]["id"]
    assert len((await secured.get("/conversions")).json()["conversions"]) == 1
    problem(await secured.get(f"/conversions/{by_key['conversion']['id']}"), 404, "not_found")
    problem(await secured.system.api.get(f"/api/v1/conversions/{by_token['conversion']['id']}"), 404, "not_found")


async def test_hostile_claim_reaches_nobody_elses_records(secured: Secured) -> None:
    theirs = await created(secured, secured.issuer.token(sub="anna"))
    file_id, conversion_id = theirs["file"]["id"], theirs["conversion"]["id"]
    for claim in ("../anna", "anna/", "oidc.anna", "ANNA", " anna", "anna\x00", "*", f"anna/in/{file_id}/1", "$ne"):
        token = secured.issuer.token(sub=claim)
        for method, path in (
            ("GET", f"/conversions/{conversion_id}"),
            ("GET", f"/conversions/{conversion_id}/events"),
            ("GET", f"/conversions/{conversion_id}/history"),
            ("GET", f"/files/{file_id}"),
            ("GET", f"/files/{file_id}/content"),
            ("POST", f"/files/{file_id}/uploaded"),
            ("POST", f"/conversions/{conversion_id}/cancel"),
            ("DELETE", f"/files/{file_id}"),
        ):
            problem(await secured.send(method, path, token), 404, "not_found")
        assert (await secured.get("/files", token)).json()["files"] == []


async def test_remembered_answer_is_never_replayed_to_others(secured: Secured) -> None:
    """The ids of remembered answers join owner and key by a colon, so no owner may hold one."""
    first = await created(secured, secured.issuer.token(sub="a"), **{"Idempotency-Key": "b:c"})
    again = await created(secured, secured.issuer.token(sub="a"), **{"Idempotency-Key": "b:c"})
    other = await created(secured, secured.issuer.token(sub="a:b"), **{"Idempotency-Key": "c"})

    assert first == again
    assert other["conversion"]["id"] != first["conversion"]["id"]


async def test_stream_of_a_token_shows_own_conversions_only(secured: Secured) -> None:
    mine = await created(secured, secured.issuer.token(sub="anna"))
    await created(secured, secured.issuer.token(sub="berta"))
    await secured.system.api.post("/api/v1/conversions", json=NEW)
    authorization = f"Bearer {secured.issuer.token(sub='anna', scope='conversions:read')}"

    async with Events(secured.system, "/api/v1/events", authorization=authorization) as events:
        assert events.status == 200
        assert await events.next() == "retry: 2000"
        snapshot = await events.next() or ""
        await created(secured, secured.issuer.token(sub="berta"))
        second = await created(secured, secured.issuer.token(sub="anna"))
        change = await events.next() or ""

    shown = [json.loads(text.partition("data: ")[2])["id"] for text in (snapshot, change)]
    assert shown == [mine["conversion"]["id"], second["conversion"]["id"]]


@pytest.mark.parametrize(("expires_in_ms", "is_open"), [(60_000, True), (-29_000, True), (-31_000, False)])
async def test_stream_ends_with_its_token(secured: Secured, expires_in_ms: int, is_open: bool) -> None:
    """Checked at each event and each ping, so that a withdrawn user does not watch for ever."""
    caller = Caller(owner="oidc.anna", scopes=frozenset(), expires_at=now_ms() + expires_in_ms, leeway_ms=30_000)

    async def pings() -> AsyncIterator[None]:
        for _ in range(3):
            yield None

    sent = [text async for text in encoded_events(pings(), secured.system.service.wiring.views, caller)]

    assert sent == [b"retry: 2000\n\n"] + [b": ping\n\n"] * (3 if is_open else 0)


@pytest.mark.parametrize(("claim", "owner"), [("client_id", f"oidc.{AUDIENCE}"), ("custom:tenant", "oidc.acme=3A1")])
async def test_owner_comes_from_the_configured_claim(issuer: LocalIssuer, claim: str, owner: str) -> None:
    """With the claims of an Amazon Cognito access token, which has no `aud`."""
    cognito = {"aud": REMOVED, "token_use": "access", "client_id": AUDIENCE, "custom:tenant": "acme:1"}
    async with secured_system(issuer, jwt_owner_claim=claim) as secured:
        assert (await secured.get("/whoami", issuer.token(**cognito))).json()["owner"] == owner
        no_text = issuer.token(**{**cognito, "aud": AUDIENCE, claim: 7})
        problem(await secured.get("/whoami", no_text), 401, "token_owner_invalid")
