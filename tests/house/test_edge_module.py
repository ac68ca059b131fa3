"""The way in from the internet knows the service behind it: its routes, its streams, its limits."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

from converto_infra.settings import Settings
from file_service.http.forms import FORM_OVERHEAD_BYTES

ROOT = Path(__file__).resolve().parents[2]
EDGE = ROOT / "terraform/modules/edge"
OPENAPI = json.loads((ROOT / "services/file_service/http/openapi.json").read_text())
PAYLOAD_LIMIT_BYTES = 10_000_000
"""Of an HTTP API, which AWS does not raise."""

Operations = set[tuple[str, str]]


def operations() -> Operations:
    """Method and path of every operation that the file service describes."""
    return {(method.upper(), path) for path, methods in OPENAPI["paths"].items() for method in methods}


def route_keys() -> Operations:
    text = (EDGE / "api.tf").read_text()
    return {(method, path) for method, path in re.findall(r'"(GET|POST|DELETE) (/[^"]*)"', text)}


def is_routed(method: str, path: str) -> bool:
    """Whether a route has this path, or ends in a greedy variable that takes it."""
    routes = {route for routed, route in route_keys() if routed == method}
    greedy = [route.removesuffix("{proxy+}") for route in routes if route.endswith("{proxy+}")]
    return path in routes or any(path.startswith(prefix) for prefix in greedy)


def route_of(method: str, path: str) -> str:
    """Path of the route that takes a request: the same path, or the longest beginning, as the API decides."""
    routes = [route for routed, route in route_keys() if routed == method]
    greedy = [
        route for route in routes if route.endswith("{proxy+}") and path.startswith(route.removesuffix("{proxy+}"))
    ]
    return path if path in routes else max(greedy, key=len)


def scopes_at_the_gateway() -> dict[tuple[str, str], set[str]]:
    """Scopes of each route with an authorizer, one of which a token needs; an empty set admits every valid token."""
    admitted = {
        "local.may_read": {"conversions:read", "conversions:write", "admin"},
        "local.may_write": {"conversions:write", "admin"},
        "var.scopes.admin": {"admin"},
        "[]": set[str](),
    }
    found = re.findall(r'^ +"([A-Z]+) (/[^"]*)" += (\S+)', (EDGE / "api.tf").read_text(), re.MULTILINE)
    return {(method, path): admitted[scopes] for method, path, scopes in found}


def scope_of_service(operation: tuple[str, str]) -> str | None:
    """Scope that the file service asks of an access token."""
    method, path = operation
    listed = [
        one["access_token"] for one in OPENAPI["paths"][path][method.lower()]["security"] if "access_token" in one
    ]
    return listed[0][0] if listed[0] else None


def stream_patterns() -> list[str]:
    listed = re.search(r"stream_paths = (\[[^\]]*\])", (EDGE / "cloudfront.tf").read_text())
    assert listed
    return list(json.loads(listed[1]))


def is_stream(operation: tuple[str, str]) -> bool:
    method, path = operation
    responses = OPENAPI["paths"][path][method.lower()]["responses"]
    return any("text/event-stream" in response.get("content", {}) for response in responses.values())


def number(name: str) -> int:
    found = re.search(rf"\b{name}\s*= (\d+)", (EDGE / "main.tf").read_text())
    assert found, name
    return int(found[1])


def test_every_operation_has_a_route() -> None:
    assert {operation for operation in operations() if not is_routed(*operation)} == set()


def test_every_named_route_leads_to_an_operation() -> None:
    named = {key for key in route_keys() if key[1].startswith("/api/v1/") and "{" not in key[1]}
    assert named <= operations()


def test_gateway_admits_the_scope_that_the_service_asks() -> None:
    gateway = scopes_at_the_gateway()
    protected = sorted(one for one in operations() if one[1].startswith("/api/v1/"))
    asked = {one: scope_of_service(one) for one in protected}
    admitted = {one: gateway[one[0], route_of(*one)] for one in protected}

    assert {one for one in protected if asked[one] is None and admitted[one]} == set()
    assert {one for one in protected if asked[one] is not None and asked[one] not in admitted[one]} == set()


def test_exactly_the_streams_go_to_the_load_balancer() -> None:
    streams = {path for method, path in operations() if is_stream((method, path))}
    diverted = {path for _, path in operations() if any(fnmatchcase(path, one) for one in stream_patterns())}
    assert streams == diverted != set()


def test_a_form_with_its_overhead_fits_the_limit() -> None:
    assert number("form_overhead_bytes") == FORM_OVERHEAD_BYTES
    assert number("max_payload_bytes") == PAYLOAD_LIMIT_BYTES


def test_modules_set_only_settings_that_exist() -> None:
    # The variable of the rotation function, which is no service and has settings of its own.
    known = {f"CONVERTO_{name.upper()}" for name in Settings.model_fields} | {"CONVERTO_ROTATION"}
    for path in (ROOT / "terraform/modules").rglob("*.tf"):
        assert set(re.findall(r"\bCONVERTO_[A-Z0-9_]*[A-Z0-9]", path.read_text())) <= known, path
