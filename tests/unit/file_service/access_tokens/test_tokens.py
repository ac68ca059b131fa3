"""Access tokens through the whole application: accepted beside keys, refused with a code and a challenge (M17)."""

import time
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converto_infra.oidc.key_cache import WAIT_S
from file_service.http.load_shedding import MISSED_DEADLINE_S
from tests.issuer import JWKS, REMOVED, Key, LocalIssuer
from tests.unit.fake_clock import until
from tests.unit.file_service.access_tokens.conftest import Secured, secured_system
from tests.unit.file_service.conftest import System, problem


@pytest.mark.parametrize("key", [Key("k1"), Key("k2", "ES256")], ids=["RS256", "ES256"])
async def test_whoami_shows_owner_scopes_and_expiry(issuer: LocalIssuer, key: Key) -> None:
    issuer.keys = [key]
    expires_s = int(time.time()) + 60
    async with secured_system(issuer) as secured:
        answer = await secured.get("/whoami", issuer.token(key=key, exp=expires_s))

    assert answer.json() == {
        "owner": "oidc.anna",
        "key_id": "",
        "is_admin": False,
        "scopes": ["conversions:read", "conversions:write"],
        "expires_at": expires_s * 1000,
    }


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"exp": 1_000_000_000}, "token_expired", "expired"),
        ({"nbf": 9_000_000_000}, "token_not_yet_valid", "not valid yet"),
        ({"iss": "https://evil.example"}, "token_issuer_wrong", "another issuer"),
        ({"aud": "somebody-else"}, "token_audience_wrong", "another audience"),
        ({"key": Key("k9", number=1)}, "token_key_unknown", "does not publish"),
        ({"key": Key("k1", number=1)}, "token_signature_invalid", "signature"),
        ({"exp": REMOVED}, "token_claim_missing", "lacks the claim exp"),
        ({"sub": REMOVED}, "token_claim_missing", "lacks the claim sub"),
        ({"sub": ""}, "token_owner_invalid", "names no owner"),
        ({"sub": "x" * 300}, "token_owner_invalid", "names no owner"),
        ({"exp": "soon"}, "token_malformed", "not a well-formed"),
        ({"token_use": "id"}, "token_type_not_allowed", "not an access token"),
        ({"headers": {"crit": ["x"], "x": 1}}, "token_malformed", "not a well-formed"),
    ],
)
async def test_invalid_token_is_401_with_code(secured: Secured, changed: dict[str, Any], code: str, words: str) -> None:
    with structlog.testing.capture_logs() as logged:
        answer = await secured.get("/conversions", secured.issuer.token(**changed))

    body = problem(answer, 401, code)
    challenge = answer.headers["www-authenticate"]
    assert words in body["detail"]
    assert challenge == f'Bearer realm="converto", error="invalid_token", error_description="{body["detail"]}"'
    assert "request.crashed" not in [entry["event"] for entry in logged]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("text", ["hunter2", "a.b.c", "..", "x" * 20_000, "eyJhbGciOiJub25lIn0.e30."])
async def test_malformed_token_is_401(secured: Secured, text: str) -> None:
    answer = await secured.get("/whoami", text)

    assert answer.status_code == 401
    assert answer.json()["code"] in {"token_malformed", "token_algorithm_not_allowed"}
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.binary(min_size=1, max_size=80).filter(lambda text: not set(text) & set(b"\r\n\0")))
async def test_any_authorization_is_401_and_never_breaks(secured: Secured, text: bytes) -> None:
    async with secured.system.client(None) as client:
        answer = await client.get("/api/v1/whoami", headers=[(b"authorization", b"Bearer " + text)])

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="converto"')


async def test_missing_credentials_get_a_plain_challenge(secured: Secured) -> None:
    async with secured.system.client(None) as client:
        answer = await client.get("/api/v1/files")

    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="converto"'


async def test_wrong_key_gets_a_challenge_with_its_reason(secured: Secured) -> None:
    answer = await secured.get("/files", "cvt_0123_4567")

    problem(answer, 401, "unauthorized")
    assert 'error="invalid_token", error_description="The API key is unknown' in answer.headers["www-authenticate"]


async def test_keys_work_beside_tokens(secured: Secured) -> None:
    answer = await secured.system.api.get("/api/v1/whoami")

    assert answer.json()["owner"] == "anna"
    assert answer.json()["scopes"] == ["conversions:read", "conversions:write"]
    assert answer.json()["expires_at"] is None


async def test_token_in_the_header_for_keys_is_refused(secured: Secured) -> None:
    async with secured.system.client(None, **{"X-API-Key": secured.issuer.token()}) as client:
        problem(await client.get("/api/v1/whoami"), 401, "unauthorized")


async def test_token_without_an_issuer_is_refused(system: System, issuer: LocalIssuer) -> None:
    async with system.client(issuer.token()) as client:
        problem(await client.get("/api/v1/whoami"), 401, "unauthorized")
    assert not issuer.requests


async def test_issuer_away_at_start_is_503(issuer: LocalIssuer) -> None:
    issuer.is_away = True
    async with secured_system(issuer) as secured:
        answer = await secured.get("/whoami", issuer.token())

        problem(answer, 503, "issuer_unavailable")
        assert answer.json()["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1
        assert issuer.url not in answer.text
        assert (await secured.system.api.get("/api/v1/whoami")).status_code == 200, "keys need no issuer"


async def test_slow_issuer_delays_no_request_for_long(issuer: LocalIssuer) -> None:
    issuer.may_answer.clear()
    async with secured_system(issuer) as secured:
        started = time.monotonic()
        problem(await secured.get("/whoami", issuer.token()), 503, "issuer_unavailable")
        assert time.monotonic() - started < 2
        assert WAIT_S < MISSED_DEADLINE_S, "else callers with API keys would be refused, too"

        issuer.may_answer.set()
        await until(lambda: issuer.requests[JWKS] > 0)

        async def is_accepted() -> bool:
            return (await secured.get("/whoami", issuer.token())).status_code == 200

        await secured.system.until(is_accepted)


@pytest.mark.parametrize("lie", [b"", b"<html>", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'])
async def test_lying_issuer_is_503(issuer: LocalIssuer, lie: bytes) -> None:
    issuer.lie(JWKS, lie)
    async with secured_system(issuer) as secured:
        await until(lambda: issuer.requests[JWKS] > 0)

        problem(await secured.get("/whoami", issuer.token()), 503, "issuer_unavailable")


async def test_health_does_not_depend_on_the_issuer(issuer: LocalIssuer) -> None:
    issuer.is_away = True
    async with secured_system(issuer) as secured:

        async def is_ready() -> bool:
            return (await secured.system.api.get("/api/health/ready")).status_code == 200

        await secured.system.until(is_ready)
        health = await secured.system.api.get("/api/health")
        assert (health.status_code, health.json()["status"]) == (200, "ok")


async def test_log_holds_no_token(secured: Secured) -> None:
    text = secured.issuer.token()
    with structlog.testing.capture_logs() as logged:
        await secured.get("/whoami", text)
        await secured.get("/whoami", text + "x")

    assert text.split(".")[2] not in str(logged)
