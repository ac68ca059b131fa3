"""Sources that the object store lists but cannot read, on the stack: they fail, and nobody waits behind them."""

import secrets
import time
from typing import Any

import httpx2
import pytest

from tests.assets.drawing.picture_files import png
from tests.assets.drawing.pictures import lake_at_dusk
from tests.e2e.plain_http import finish, wait_until
from tests.e2e.test_cache import send
from tests.scenarios.test_damaged_result import delete_object, stored_file

ADDRESS = "/api/v1/conversions"
SLOTS = 2  # of the two workers of the stack


def picture() -> bytes:
    """A picture that no other test has sent."""
    canvas = lake_at_dusk(320, 200)
    canvas.run(0, 0, 32, tuple(secrets.token_bytes(3)))
    canvas.run(1, 0, 32, tuple(secrets.token_bytes(3)))
    return png(canvas)


def retry_with_unreadable_source(stack: Any, http: httpx2.Client) -> str:
    """Take the file of a source away under the store, which goes on to list it, and start its conversion anew."""
    done = finish(http, send(http, picture(), "lake.png", "webp")["id"])
    delete_object(stack, stored_file(stack, "out", done["id"]))
    stored_file(stack, "in", done["file_id"]).unlink()
    assert http.post(f"{ADDRESS}/{done['id']}/retry", json={}).status_code == 202
    return str(done["id"])


def is_processing(http: httpx2.Client, conversion_id: str) -> bool | None:
    return http.get(f"{ADDRESS}/{conversion_id}").json()["status"] == "processing" or None


@pytest.mark.minutes
@pytest.mark.timeout(400)
def test_unreadable_sources_fail_and_starve_nobody(stack: Any, http: httpx2.Client) -> None:
    """C8: each slot has one; another conversion runs when they back off, long before they have failed."""
    bad = [retry_with_unreadable_source(stack, http) for _ in range(SLOTS)]
    for one in bad:
        wait_until(lambda one=one: is_processing(http, one), within_s=20)  # type: ignore[misc]
    began_s = time.monotonic()
    innocent = finish(http, send(http, picture(), "innocent.png", "webp")["id"])
    waited_s = time.monotonic() - began_s
    first_look = [http.get(f"{ADDRESS}/{one}").json()["status"] for one in bad]
    ended = [finish_slowly(http, one) for one in bad]

    assert innocent["status"] == "completed"
    assert waited_s < 60
    assert "failed" not in first_look
    assert [(one["status"], one["error"]["code"]) for one in ended] == [("failed", "source_unreadable")] * SLOTS
    assert "administrator" in ended[0]["error"]["message"]
    assert ended[0]["error"]["retryable"] is True


def finish_slowly(http: httpx2.Client, conversion_id: str) -> dict[str, Any]:
    """Wait for a conversion that uses up all its attempts."""

    def ended() -> dict[str, Any] | None:
        body = dict(http.get(f"{ADDRESS}/{conversion_id}").json())
        return body if body["status"] == "failed" else None

    return wait_until(ended, within_s=200)
