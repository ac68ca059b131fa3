"""The functions that CloudFront runs: the client's address, requests with an API key, preflights of the streams."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

FUNCTIONS = Path(__file__).resolve().parents[2] / "terraform/modules/edge/functions"
API = {"clientIpHeader": "x-converto-client-ip", "apiKeyPrefix": "with-api-key"}
STREAMS = {
    "clientIpHeader": "x-converto-client-ip",
    "origins": ["https://app.example.org"],
    "requestHeaders": "authorization, last-event-id",
    "maxAgeS": 3600,
}
JWT = "eyJhbGciOiJSUzI1NiJ9.e30.x"


def run(name: str, settings: dict[str, Any], *, method: str = "GET", **headers: str) -> dict[str, Any]:
    """Run a function on one request, with the settings put in as Terraform does."""
    node = shutil.which("node")
    if node is None and os.environ.get("CI"):
        pytest.fail("node is not installed")
    if node is None:
        pytest.skip("node is not installed")
    code, replaced = re.subn(
        r"const settings = [^;]*;",
        lambda _: f"const settings = {json.dumps(settings)};",
        (FUNCTIONS / f"{name}.js").read_text(),
    )
    assert replaced == 1
    request = {
        "method": method,
        "uri": "/api/v1/conversions",
        "headers": {header.replace("_", "-"): {"value": value} for header, value in headers.items()},
    }
    event = {"version": "1.0", "viewer": {"ip": "198.51.100.7"}, "request": request}
    script = f"{code}\nprocess.stdout.write(JSON.stringify(handler({json.dumps(event)})));"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=30)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(("name", "settings"), [("api", API), ("streams", STREAMS)])
def test_client_cannot_choose_its_address(name: str, settings: dict[str, Any]) -> None:
    request = run(name, settings, x_converto_client_ip="203.0.113.1")
    assert request["headers"]["x-converto-client-ip"] == {"value": "198.51.100.7"}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer cvt_a_b"},
        {"authorization": "bearer  cvt_a_b"},
        {"x_api_key": "cvt_a_b"},
        {"authorization": "Basic abc", "x_api_key": "cvt_a_b"},
    ],
)
def test_api_key_leaves_the_authorizer_out(headers: dict[str, str]) -> None:
    assert run("api", API, **headers)["uri"] == "/with-api-key/api/v1/conversions"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": f"Bearer {JWT}"}, {"authorization": f"Bearer {JWT}", "x_api_key": "cvt_a_b"}]
)
def test_everything_else_meets_the_authorizer(headers: dict[str, str]) -> None:
    assert run("api", API, **headers)["uri"] == "/api/v1/conversions"


def test_api_keys_meet_the_authorizer_when_refused() -> None:
    settings = {**API, "apiKeyPrefix": ""}
    assert run("api", settings, x_api_key="cvt_a_b")["uri"] == "/api/v1/conversions"


def test_preflight_of_a_listed_origin_is_allowed() -> None:
    answer = run("streams", STREAMS, method="OPTIONS", origin="https://app.example.org")
    assert answer["statusCode"] == 204
    assert answer["headers"]["access-control-allow-origin"] == {"value": "https://app.example.org"}
    assert answer["headers"]["access-control-allow-headers"] == {"value": "authorization, last-event-id"}


@pytest.mark.parametrize("origin", ["https://evil.example.org", "https://app.example.org.evil.example", "null"])
def test_preflight_of_another_origin_allows_nothing(origin: str) -> None:
    answer = run("streams", STREAMS, method="OPTIONS", origin=origin)
    assert (answer["statusCode"], sorted(answer["headers"])) == (204, ["vary"])
