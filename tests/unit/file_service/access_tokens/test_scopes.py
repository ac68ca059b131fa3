"""Scopes of access tokens: each route needs its own, and keys may do what they always could (M17)."""

import json
from typing import Any

import pytest

from file_service.http.openapi import SNAPSHOT
from tests.issuer import REMOVED, LocalIssuer
from tests.unit.file_service.access_tokens.conftest import Secured, secured_system
from tests.unit.file_service.conftest import problem

READ, WRITE, ADMIN = "conversions:read", "conversions:write", "admin"
ID = "019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10"
ROUTES: dict[tuple[str, str], str | None] = {
    ("get", "/whoami"): None,
    ("get", "/formats"): READ,
    ("get", "/workers"): READ,
    ("post", "/plans"): READ,
    ("get", "/events"): READ,
    ("get", "/files"): READ,
    ("post", "/files"): WRITE,
    ("get", "/files/{file_id}"): READ,
    ("delete", "/files/{file_id}"): WRITE,
    ("post", "/files/{file_id}/upload"): WRITE,
    ("get", "/files/{file_id}/parts"): READ,
    ("post", "/files/{file_id}/parts"): WRITE,
    ("post", "/files/{file_id}/uploaded"): WRITE,
    ("get", "/files/{file_id}/content"): READ,
    ("get", "/conversions"): READ,
    ("post", "/conversions"): WRITE,
    ("get", "/conversions/{conversion_id}"): READ,
    ("delete", "/conversions/{conversion_id}"): WRITE,
    ("get", "/conversions/{conversion_id}/history"): READ,
    ("get", "/conversions/{conversion_id}/events"): READ,
    ("get", "/conversions/{conversion_id}/outputs"): READ,
    ("get", "/conversions/{conversion_id}/outputs/{number}"): READ,
    ("post", "/conversions/{conversion_id}/cancel"): WRITE,
    ("post", "/conversions/{conversion_id}/retry"): WRITE,
    ("get", "/admin/parked"): ADMIN,
    ("post", "/admin/parked/requeue"): ADMIN,
    ("post", "/admin/parked/drop"): ADMIN,
    ("get", "/admin/parked/{message_id}"): ADMIN,
    ("delete", "/admin/parked/{message_id}"): ADMIN,
    ("post", "/admin/parked/{message_id}/requeue"): ADMIN,
}
GUARDED = [(method, path, scope) for (method, path), scope in ROUTES.items() if scope]


def concrete(path: str) -> str:
    for name in ("file_id", "conversion_id", "message_id"):
        path = path.replace(f"{{{name}}}", ID)
    return path.replace("{number}", "1")


def test_table_lists_every_route_with_its_described_scope() -> None:
    paths = json.loads(SNAPSHOT.read_text(encoding="utf-8"))["paths"]
    described = {
        (method, path.removeprefix("/api/v1")): next(iter(operation["security"][-1]["access_token"]), None)
        for path, operations in paths.items()
        if path.startswith("/api/v1/")
        for method, operation in operations.items()
    }

    assert described == ROUTES


@pytest.mark.parametrize(("method", "path", "scope"), GUARDED, ids=[f"{method} {path}" for method, path, _ in GUARDED])
async def test_route_needs_exactly_its_scope(secured: Secured, method: str, path: str, scope: str) -> None:
    others = " ".join({READ, WRITE, ADMIN, "openid", f"x/{scope}", scope.upper(), scope[:-1]} - {scope})

    refused = await secured.send(method, concrete(path), secured.issuer.token(scope=others), json={})

    body = problem(refused, 403, "insufficient_scope")
    assert refused.headers["www-authenticate"] == (
        f'Bearer realm="converto", error="insufficient_scope", error_description="{body["detail"]}", scope="{scope}"'
    )
    if path == "/events":
        return  # it would stream for ever; test_owners.py reads it
    permitted = await secured.send(method, concrete(path), secured.issuer.token(scope=scope), json={})
    assert permitted.status_code not in {401, 403, 500}


@pytest.mark.parametrize(
    ("granted", "scopes"),
    [
        ({"scope": "admin openid"}, ["admin"]),
        ({"scope": f"{ADMIN} {WRITE} {READ} {READ}"}, [READ, WRITE, ADMIN]),
        ({"scope": [READ, 7, None]}, [READ]),
        ({"scope": REMOVED, "scp": READ}, [READ]),
        ({"scope": REMOVED, "scp": [READ, WRITE]}, [READ, WRITE]),
        ({"scope": "", "scp": READ}, []),
        ({"scope": None, "scp": READ}, [READ]),
        ({"scope": REMOVED}, []),
        ({"scope": None}, []),
        ({"scope": 7}, []),
        ({"scope": {READ: True}}, []),
        ({"scope": f"{READ},{WRITE}"}, []),
        ({"scope": f"{READ}\t{WRITE}"}, []),
    ],
)
async def test_scopes_are_read_from_both_claims(secured: Secured, granted: dict[str, Any], scopes: list[str]) -> None:
    answer = await secured.get("/whoami", secured.issuer.token(**granted))

    assert answer.json()["scopes"] == scopes


async def test_scopes_count_only_with_the_prefix(issuer: LocalIssuer) -> None:
    async with secured_system(issuer, jwt_scope_prefix="converto/") as secured:
        with_prefix = await secured.get("/whoami", issuer.token(scope=f"converto/{READ} openid"))
        without = await secured.get("/files", issuer.token(scope=READ))

    assert with_prefix.json()["scopes"] == [READ]
    problem(without, 403, "insufficient_scope")
    assert f'scope="converto/{READ}"' in without.headers["www-authenticate"]


async def test_administrator_token_may_not_convert(secured: Secured) -> None:
    answer = await secured.send("POST", "/files", secured.issuer.token(scope=ADMIN), json={})

    problem(answer, 403, "insufficient_scope")


async def test_ordinary_key_is_told_to_use_an_administrators_key(secured: Secured) -> None:
    answer = await secured.system.api.get("/api/v1/admin/parked")

    assert "administrator's API key" in problem(answer, 403, "forbidden")["detail"]
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert (await secured.system.admin.get("/api/v1/admin/parked")).status_code == 200


async def test_options_shows_methods_without_credentials(secured: Secured) -> None:
    async with secured.system.client(None) as client:
        answer = await client.options("/api/v1/files")

    assert answer.status_code == 204
    assert "POST" in answer.headers["allow"]
