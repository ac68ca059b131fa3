"""Applies to every request: keys, request ids, headers, problems for unexpected errors (C12)."""

from typing import Any

import pytest
import structlog

from converto_core.access import ApiKey, hash_secret, new_key_text, split_key_text
from converto_core.ids import now_ms
from file_service.http.authentication import KEY_CACHE_S, KeyRing
from tests.unit.file_service.conftest import System, problem

PLACES = [
    ("GET", "/api/v1/files"),
    ("POST", "/api/v1/files"),
    ("GET", "/api/v1/conversions"),
    ("POST", "/api/v1/conversions"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/formats"),
    ("GET", "/api/v1/workers"),
    ("GET", "/api/v1/whoami"),
    ("GET", "/api/v1/admin/parked"),
    ("POST", "/api/v1/admin/parked/drop"),
    ("GET", "/api/v1/conversions/x"),
    ("DELETE", "/api/v1/files/x"),
]


@pytest.mark.parametrize(("method", "path"), PLACES)
async def test_every_place_when_key_is_missing_or_wrong_then_401(system: System, method: str, path: str) -> None:
    key_id, _ = split_key_text(system.key) or ("", "")
    for key in (None, "nonsense", "cvt__", new_key_text(), f"cvt_{key_id}_wrong", "cvt_é_x".encode().decode("latin-1")):
        async with system.client(None) as client:
            headers = [(b"authorization", f"Bearer {key}".encode("latin-1"))] if key else []
            answer = await client.request(method, path, headers=headers)

        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_whoami_when_key_comes_in_either_header_then_known(system: System) -> None:
    async with system.client(None, **{"X-API-Key": system.key}) as client:
        by_header = await client.get("/api/v1/whoami")

    assert by_header.json() == (await system.api.get("/api/v1/whoami")).json()
    assert by_header.json()["owner"] == "anna"


async def test_key_when_revoked_then_refused_within_seconds(system: System) -> None:
    now = 0.0
    keys = KeyRing(system.stores.access, clock=lambda: now)
    key_id, secret = split_key_text(system.key) or ("", "")
    assert (await keys.caller(system.key)).owner == "anna"
    revoked = ApiKey(id=key_id, owner="anna", secret_sha256=hash_secret(secret), created_at=now_ms(), is_revoked=True)
    await system.stores.access.put_key(revoked)

    now = KEY_CACHE_S + 1

    with pytest.raises(Exception, match="revoked"):
        await keys.caller(system.key)


async def test_key_when_database_is_away_then_503_not_401(system: System) -> None:
    system.stores.is_away = True
    async with system.client(new_key_text()) as client:
        answer = await client.get("/api/v1/whoami")

    problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("given", "is_kept"), [("abc-123", True), ("a" * 128, True), ("a" * 129, False), ("a b", False)]
)
async def test_request_id_when_given_then_kept_only_if_safe(system: System, given: str, is_kept: bool) -> None:
    answer = await system.api.get("/api/v1/whoami", headers={"X-Request-Id": given})

    assert (answer.headers["x-request-id"] == given) is is_kept
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/api/v2/files", "/api/docs/../../etc/passwd"])
async def test_get_when_address_is_unknown_then_404_problem_with_headers(system: System, path: str) -> None:
    answer = await system.api.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]


async def test_unknown_method_is_405_with_allow(system: System) -> None:
    answer = await system.api.put("/api/v1/files", json={})

    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST"}


async def test_request_when_something_breaks_then_500_shows_nothing_of_it(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret path /srv/x")

    monkeypatch.setattr(system.stores.files, "find", broken)

    answer = await system.api.get("/api/v1/files")

    problem(answer, 500, "internal_error")
    assert "secret" not in answer.text


async def test_answer_when_ordinary_then_security_headers_are_set(system: System) -> None:
    answer = await system.api.get("/api/v1/whoami")

    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"


async def test_one_log_line_per_request_without_secrets(system: System) -> None:
    with structlog.testing.capture_logs() as logged:
        await system.api.get("/api/v1/whoami?token=geheim")
        await system.api.get("/api/health/live")

    served = [entry for entry in logged if entry["event"] == "request.served"]
    assert [(entry["path"], entry["status"]) for entry in served] == [("/api/v1/whoami", 200)]
    assert "geheim" not in str(logged)
    assert system.key not in str(logged)


async def test_disconnect_within_the_body_logs_no_crash(system: System) -> None:
    messages = [{"type": "http.request", "body": b'{"filename":', "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/api/v1/files", "raw_path": b"/api/v1/files",
        "query_string": b"", "root_path": "", "scheme": "http", "server": ("converto.test", 80), "client": None,
        "headers": [(b"x-api-key", system.key.encode())],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    with structlog.testing.capture_logs() as logged:
        await system.service.asgi(scope, receive, send)  # type: ignore[arg-type]

    assert sent[0]["status"] == 400
    assert "request.crashed" not in [entry["event"] for entry in logged]


@pytest.mark.parametrize("away", ["stores", "objects"])
async def test_upload_without_dependency_is_503_with_retry_after(system: System, away: str) -> None:
    """C8."""
    await system.api.get("/api/v1/whoami")
    getattr(system, away).is_away = True

    answer = await system.api.post("/api/v1/files", json={"filename": "a.png", "size_bytes": 5})

    assert answer.status_code == 503
    assert answer.json()["retryable"] is True
    assert int(answer.headers["retry-after"]) >= 1
