"""What the journal keeps of a request: its operation, the record it names, and what identifies a repetition."""

import hashlib
import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx2
import msgspec

API_PREFIX = "/api/v1"
RECORDED = ("/conversions", "/files", "/events")
"""Other paths tell nothing of conversions."""
NEW_CONVERSION = ("client_id", "file_id", "target_format")

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"(?<=/outputs/)\d+$")
_OBJECT = re.compile(r"/(?P<key>t/[^?]+/(?:in|out)/[^?]+)$")


def described(request: httpx2.Request) -> dict[str, Any] | None:
    """Return the fields of the call for the journal; None for a request that is left out."""
    path = unquote(request.url.path)
    if path.startswith(API_PREFIX):
        own = path.removeprefix(API_PREFIX)
        return _api_call(request, own) if own.startswith(RECORDED) else None
    if key := object_key(path):
        return {"method": request.method, "object_key": key, "sha256": _sha256_of_body(request)}
    return None


def object_key(path: str) -> str | None:
    """Return the object key in the path of a presigned URL, or None if it is not one of converto's."""
    found = _OBJECT.search(path)
    return found["key"] if found else None


def _api_call(request: httpx2.Request, path: str) -> dict[str, Any]:
    found = _ID.search(path)
    authorization = request.headers.get("authorization", "")
    return {
        "method": request.method,
        "path": _NUMBER.sub("{number}", _ID.sub("{id}", path)),
        "id": found[0] if found else None,
        "caller": hashlib.sha256(authorization.encode()).hexdigest()[:8],
        "key": request.headers.get("idempotency-key"),
        "sha256": _sha256_of_body(request),
        "wanted": _wanted(request, path),
    }


def _wanted(request: httpx2.Request, path: str) -> dict[str, str]:
    if request.method == "GET":
        return dict(parse_qsl(request.url.query.decode()))
    if path != "/conversions":
        return {}
    try:
        body = msgspec.json.decode(_body_of(request) or b"{}")
    except msgspec.DecodeError:  # a form, whose fields no check needs
        return {}
    return {name: str(body[name]) for name in NEW_CONVERSION if body.get(name) is not None}


def _sha256_of_body(request: httpx2.Request) -> str | None:
    body = _body_of(request)
    return hashlib.sha256(body).hexdigest() if body else None


def _body_of(request: httpx2.Request) -> bytes | None:
    try:
        return request.content
    except httpx2.RequestNotRead:  # a body that is streamed can be read once only, and not by us
        return None
