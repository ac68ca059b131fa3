"""Checks Signature Version 4, in headers and in presigned URLs, against the keys that moto's STS has issued."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from moto.sts.models import sts_backends

STAMP = "%Y%m%dT%H%M%SZ"


class Invalid(Exception):
    """Raised for a request whose signature proves nothing; the text says why."""


class Signer(NamedTuple):
    """Who signed a request: a role that somebody assumed. `signed_at` is by the signer's clock."""

    role_name: str
    session_arn: str
    region: str
    service: str
    signed_at: datetime


class _Signature(NamedTuple):
    credential: str
    names: list[str]
    value: str
    stamp: str
    payload: str
    token: str | None
    lifetime_s: int | None


def signer_of(request: Any, body: bytes, account: str) -> Signer | None:
    """Return who signed the request; None when nobody did. Raises `Invalid`."""
    signature = _from_headers(request, body) or _from_query(request)
    if signature is None:
        return None
    key_id, day, region, service, _ = signature.credential.split("/")
    role = next((one for one in sts_backends[account]["aws"].assumed_roles if one.access_key_id == key_id), None)
    if role is None or signature.token != role.session_token:
        raise Invalid("the access key or the session token is unknown")
    signed_at = datetime.strptime(signature.stamp, STAMP).replace(tzinfo=UTC)
    if signature.lifetime_s is not None and datetime.now(UTC) > signed_at + timedelta(seconds=signature.lifetime_s):
        raise Invalid("the presigned URL has expired")
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", signature.stamp, scope, _sha256(_canonical(request, signature, service).encode())]
    )
    if not hmac.compare_digest(_sign(role.secret_access_key, [*scope.split("/"), text]), signature.value):
        raise Invalid("the signature does not match the request")
    role_name = role.role_arn.rpartition("/")[2]
    session_arn = f"arn:aws:sts::{account}:assumed-role/{role_name}/{role.session_name}"
    return Signer(role_name, session_arn, region, service, signed_at)


def _from_headers(request: Any, body: bytes) -> _Signature | None:
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        return None
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    payload = request.headers.get("X-Amz-Content-SHA256") or _sha256(body)
    return _Signature(
        credential=parts["Credential"],
        names=parts["SignedHeaders"].split(";"),
        value=parts["Signature"],
        stamp=request.headers["X-Amz-Date"],
        payload=payload,
        token=request.headers.get("X-Amz-Security-Token"),
        lifetime_s=None,
    )


def _from_query(request: Any) -> _Signature | None:
    query = dict(_query(request))
    if "X-Amz-Signature" not in query:
        return None
    return _Signature(
        credential=query["X-Amz-Credential"],
        names=query["X-Amz-SignedHeaders"].split(";"),
        value=query["X-Amz-Signature"],
        stamp=query["X-Amz-Date"],
        payload="UNSIGNED-PAYLOAD",
        token=query.get("X-Amz-Security-Token"),
        lifetime_s=int(query["X-Amz-Expires"]),
    )


def _query(request: Any) -> list[tuple[str, str]]:
    return parse_qsl(request.query_string.decode(), keep_blank_values=True)


def _canonical(request: Any, signature: _Signature, service: str) -> str:
    path = request.raw_path if service == "s3" else quote(request.raw_path, safe="/-_.~")
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in _query(request)
        if name != "X-Amz-Signature"
    )
    query = "&".join(f"{name}={value}" for name, value in pairs)
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in signature.names)
    return "\n".join([request.method, path, query, headers, ";".join(signature.names), signature.payload])


def _sign(secret: str, steps: list[str]) -> str:
    key = f"AWS4{secret}".encode()
    for step in steps:
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return key.hex()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
