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
PATIENCE_S = 60.0


@pytest.fixture
def picture() -> bytes:
    """A picture that no other test has sent."""
    canvas: Canvas = lake_at_dusk(960, 640)
    canvas.run(0, 0, 32, tuple(secrets.token_bytes(3)))
    canvas.run(1, 0, 32, tuple(secrets.token_bytes(3)))
    return png(canvas)


def send(http: httpx2.Client, body: bytes, filename: str, target: str, **fields: str) -> dict[str, Any]:
    """A file inside a form; the conversion as it was answered. It comes back when it is told to, as any client does."""
    key, deadline = {"Idempotency-Key": secrets.token_hex(16)}, time.monotonic() + PATIENCE_S
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


def test_second_when_the_first_has_completed_then_completed_in_the_answer_and_lives_apart(
    http: httpx2.Client, picture: bytes
) -> None:
    """I8: at once; the service and the worker make the same key; deleting the first leaves the second whole."""
    first = finish(http, send(http, picture, "first.png", "webp")["id"])
    second = send(http, picture, "second.png", "webp")
    other = send(http, picture, "other.png", "webp", options='{"quality": 31}')
    fresh = send(http, picture, "fresh.png", "webp", fresh="true")
    assert http.delete(f"/api/v1/conversions/{first['id']}").status_code == 204
    (body,) = fetch(http, second["id"])

    assert (second["status"], second["from_cache"]) == ("completed", True)
    assert hashlib.sha256(body).hexdigest() == first["outputs"][0]["sha256"]
    assert [finish(http, one["id"])["from_cache"] for one in (other, fresh)] == [False, False]


def test_follower_when_the_worker_of_the_one_it_waits_for_is_killed_then_both_complete(http: httpx2.Client) -> None:
    """Promises 1 and 3: a dead leader blocks nobody."""
    text = secrets.token_hex(16) + "\n" + "".join(f"{line:06d} the quick brown fox\n" for line in range(20_000))
    leader = send(http, text.encode(), "first.txt", "pdf")
    worker = wait_until(lambda: running_worker(http, leader["id"]), within_s=30)
    follower = send(http, text.encode(), "second.txt", "pdf")
    wait_until(lambda: waits(http, follower["id"]), within_s=30)
    os.kill(worker["pid"], signal.SIGKILL)
    led, followed = finish(http, leader["id"]), finish(http, follower["id"])

    assert (led["status"], followed["status"]) == ("completed", "completed")
    assert (led["attempts_lost"], followed["attempts_lost"]) == (1, 0)
    assert sum(not one["from_cache"] for one in (led, followed)) == 1
    assert led["outputs"][0]["sha256"] == followed["outputs"][0]["sha256"]
    assert followed["outputs"][0]["filename"] == "second.pdf"


def waits(http: httpx2.Client, conversion_id: str) -> bool | None:
    record = http.get(f"/api/v1/conversions/{conversion_id}").json()
    return True if record["stage"] == "waiting for the same conversion to end" else None
