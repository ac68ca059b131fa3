"""The same content with the same request is converted once, over the whole running stack (I8)."""

import hashlib
import os
import secrets
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.assets.drawing.canvas import Canvas
from tests.assets.drawing.picture_files import png
from tests.assets.drawing.pictures import lake_at_dusk
from tests.e2e.plain_http import fetch, finish
from tests.e2e.test_survival import running_worker, wait_until

REQUESTS, CLIENTS = 100, 20
RETRY_TIMEOUT_S = 60.0


@pytest.fixture
def picture() -> bytes:
    """A picture that no other test has sent."""
    canvas: Canvas = lake_at_dusk(960, 640)
    canvas.run(0, 0, 32, tuple(secrets.token_bytes(3)))
    canvas.run(1, 0, 32, tuple(secrets.token_bytes(3)))
    return png(canvas)


def send(http: httpx2.Client, body: bytes, filename: str, target: str, **fields: str) -> dict[str, Any]:
    """Send a file in a form and return the conversion; obeys `Retry-After`."""
    key, deadline = {"Idempotency-Key": secrets.token_hex(16)}, time.monotonic() + RETRY_TIMEOUT_S
    while True:
        answer = http.post(
            "/api/v1/conversions",
            data={"target_format": target, **fields},
            files={"file": (filename, body, "application/octet-stream")},
            headers=key,
        )
        if answer.status_code not in {409, 429, 503} or time.monotonic() > deadline:
            break
        time.sleep(float(answer.headers.get("retry-after", 1)))
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["conversion"])


def test_hundred_when_identical_and_at_once_then_one_engine_run(http: httpx2.Client, picture: bytes) -> None:
    """I8: a hundred identical requests at the same time cause one conversion; each has its own readable file."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        sent = list(clients.map(lambda number: send(http, picture, f"lake {number}.png", "webp"), range(REQUESTS)))
        done = list(clients.map(lambda one: finish(http, one["id"]), sent))

    assert {one["status"] for one in done} == {"completed"}
    assert sum(not one["from_cache"] for one in done) == 1
    assert [one["outputs"][0]["filename"] for one in done] == [f"lake {number}.webp" for number in range(REQUESTS)]
    assert len({one["outputs"][0]["sha256"] for one in done}) == 1
    assert {(one["attempt"] <= 1, one["attempts_lost"], len(one["errors"])) for one in done} == {(True, 0, 0)}
    for one in (done[0], done[-1]):
        (body,) = fetch(http, one["id"])
        assert body[:4] + body[8:12] == b"RIFFWEBP"


def test_second_request_completes_at_once_and_is_independent(http: httpx2.Client, picture: bytes) -> None:
    """I8: service and worker compute the same cache key; deleting the first conversion leaves the second intact."""
    first = finish(http, send(http, picture, "first.png", "webp")["id"])
    second = send(http, picture, "second.png", "webp")
    other = send(http, picture, "other.png", "webp", options='{"quality": 31}')
    fresh = send(http, picture, "fresh.png", "webp", fresh="true")
    assert http.delete(f"/api/v1/conversions/{first['id']}").status_code == 204
    (body,) = fetch(http, second["id"])

    assert (second["status"], second["from_cache"]) == ("completed", True)
    assert hashlib.sha256(body).hexdigest() == first["outputs"][0]["sha256"]
    assert [finish(http, one["id"])["from_cache"] for one in (other, fresh)] == [False, False]


def test_waiter_completes_although_the_leaders_worker_is_killed(http: httpx2.Client) -> None:
    """Promises 1 and 3: a dead leader does not block its waiters."""
    text = secrets.token_hex(16) + "\n" + "".join(f"{line:06d} the quick brown fox\n" for line in range(20_000))
    leader = send(http, text.encode(), "first.txt", "pdf")
    worker = wait_until(lambda: running_worker(http, leader["id"]), within_s=30)
    waiter = send(http, text.encode(), "second.txt", "pdf")
    wait_until(lambda: waits(http, waiter["id"]), within_s=30)
    os.kill(worker["pid"], signal.SIGKILL)
    leader_ended, waiter_ended = finish(http, leader["id"]), finish(http, waiter["id"])

    assert (leader_ended["status"], waiter_ended["status"]) == ("completed", "completed")
    assert (leader_ended["attempts_lost"], waiter_ended["attempts_lost"]) == (1, 0)
    assert sum(not one["from_cache"] for one in (leader_ended, waiter_ended)) == 1
    assert leader_ended["outputs"][0]["sha256"] == waiter_ended["outputs"][0]["sha256"]
    assert waiter_ended["outputs"][0]["filename"] == "second.pdf"


def waits(http: httpx2.Client, conversion_id: str) -> bool | None:
    record = http.get(f"/api/v1/conversions/{conversion_id}").json()
    return True if record["stage"] == "waiting for the same conversion to end" else None
