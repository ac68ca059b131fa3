"""A client without our library: plain HTTP to the service, presigned requests to the object store."""

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2

Answer = TypeVar("Answer")


def start(http: httpx2.Client, path: Path, target: str, **more: Any) -> dict[str, Any]:
    """Create a conversion, PUT the file to the object store, confirm the upload; returns the conversion."""
    body = {"target_format": target, "file": {"filename": path.name, "size_bytes": path.stat().st_size}, **more}
    created = http.post("/api/v1/conversions", json=body)
    assert created.status_code == 201, created.text
    answer = created.json()
    upload = answer["upload"]
    put = httpx2.put(upload["url"], content=path.read_bytes(), headers=upload["headers"])
    assert put.status_code == 200, put.text
    confirmed = http.post(f"/api/v1/files/{answer['file']['id']}/uploaded", json={})
    assert confirmed.status_code == 200, confirmed.text
    return dict(answer["conversion"])


def finish(http: httpx2.Client, conversion_id: str) -> dict[str, Any]:
    """Wait until the conversion has ended and return it."""
    for _ in range(4):
        answer = http.get(f"/api/v1/conversions/{conversion_id}", headers={"Prefer": "wait=25"}, timeout=40)
        body = answer.json()
        if body["status"] in {"completed", "failed", "cancelled", "expired"}:
            return dict(body)
    raise AssertionError(f"still {body['status']} {body['percent']} {body['stage']}")


def fetch(http: httpx2.Client, conversion_id: str) -> list[bytes]:
    """Download all outputs and check their hashes."""
    outputs = http.get(f"/api/v1/conversions/{conversion_id}/outputs").json()["outputs"]
    bodies = [httpx2.get(output["url"]).content for output in outputs]
    assert [hashlib.sha256(body).hexdigest() for body in bodies] == [output["sha256"] for output in outputs]
    return bodies


def wait_until(ask: Callable[[], Answer | None], *, within_s: float) -> Answer:
    """Poll until `ask` returns something other than None; fail after `within_s`."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if (answer := ask()) is not None:
                return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing within {within_s} s")
