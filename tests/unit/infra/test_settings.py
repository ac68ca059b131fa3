"""Settings that are checked when a process starts: the message names the variable and the way out."""

import re
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from converto_infra.settings import Settings


def test_missing_motor_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "motor", None)  # type: ignore[arg-type]

    with pytest.raises(ValidationError, match=r"pip install converto\[motor\].*CONVERTO_MONGODB_DRIVER=pymongo"):
        Settings(mongodb_driver="motor")


def test_unknown_driver_is_refused() -> None:
    with pytest.raises(ValidationError, match="'pymongo' or 'motor'"):
        Settings(mongodb_driver="mongoengine")  # type: ignore[arg-type]


ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abc"


def test_tokens_are_off_until_an_issuer_is_set() -> None:
    settings = Settings()

    assert (settings.jwt_issuer, settings.jwt_audiences, settings.jwt_owner_claim) == (None, frozenset(), "sub")


def test_empty_variables_mean_no_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ISSUER", "AUDIENCE", "JWKS_URL", "SCOPE_PREFIX"):
        monkeypatch.setenv(f"CONVERTO_JWT_{name}", "")

    assert Settings().jwt_issuer is None


def test_audiences_are_read_from_a_list() -> None:
    assert Settings(jwt_issuer=ISSUER, jwt_audience=" web, cli,,").jwt_audiences == {"web", "cli"}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "http://localhost/realms/x", "http://[::1]:1", "https://a.b/c/"]
)
def test_secure_issuers_are_accepted(url: str) -> None:
    assert Settings(jwt_issuer=url, jwt_audience="a", jwt_jwks_url=url).jwt_issuer == url


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"jwt_issuer": ISSUER}, "CONVERTO_JWT_AUDIENCE is required"),
        ({"jwt_issuer": ISSUER, "jwt_audience": " , "}, "CONVERTO_JWT_AUDIENCE is required"),
        ({"jwt_audience": "a"}, "need CONVERTO_JWT_ISSUER"),
        ({"jwt_jwks_url": ISSUER}, "need CONVERTO_JWT_ISSUER"),
        ({"jwt_issuer": "http://issuer.example", "jwt_audience": "a"}, "must start with https://"),
        ({"jwt_issuer": "http://127.0.0.1.evil.example", "jwt_audience": "a"}, "must start with https://"),
        ({"jwt_issuer": "http://localhost@evil.example", "jwt_audience": "a"}, "no user name"),
        ({"jwt_issuer": "issuer.example", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://a:x", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://[x", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://a\n.b", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://a/#x", "jwt_audience": "a"}, "fragment"),
        (
            {"jwt_issuer": ISSUER, "jwt_audience": "a", "jwt_jwks_url": "http://keys.example"},
            "must start with https://",
        ),
        ({"jwt_owner_claim": "aud"}, "must tell users apart"),
        ({"jwt_owner_claim": ""}, "must tell users apart"),
        ({"jwt_owner_claim": 'a"b'}, "printable ASCII"),
        ({"jwt_scope_prefix": "converto/ "}, "printable ASCII"),
        ({"jwt_leeway_s": -1}, "greater than or equal to 0"),
        ({"jwt_leeway_s": 3600}, "less than or equal to 300"),
    ],
)
def test_unsafe_token_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        Settings(**settings)
