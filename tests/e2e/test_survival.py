"""Kill -9 of a worker or of the broker in the middle of a conversion: it ends in `completed` without anyone's help.

Proves promises 1 and 3 of the design for these two faults, and C8 in part.
"""

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from tests.e2e.plain_http import finish, start

Answer = TypeVar("Answer")


@pytest.fixture
def long_text(tmp_path: Path) -> Path:
    """A text of four hundred pages: seconds of work for LibreOffice."""
    return make_long_text(tmp_path / "long.txt")


def make_long_text(path: Path) -> Path:
    """Another text each time, because the same one is converted only once."""
    lines = [f"{line:06d} the quick brown fox jumps over the lazy dog\n" for line in range(20_000)]
    path.write_text("".join([secrets.token_hex(16), "\n", *lines]))
    return path


def wait_until(ask: Callable[[], Answer | None], *, within_s: float) -> Answer:
    """Ask again and again until there is an answer: the condition is the event, the clock only its deadline."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if (answer := ask()) is not None:
                return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing within {within_s} s")


def running_worker(http: httpx2.Client, conversion_id: str) -> dict[str, Any] | None:
    workers = http.get("/api/v1/workers").json()["workers"]
    for worker in workers:
        if any(slot["conversion_id"] == conversion_id for slot in worker["running"]):
            return dict(worker)
    return None


def test_worker_when_killed_mid_conversion_then_another_run_completes_it(http: httpx2.Client, long_text: Path) -> None:
    conversion = start(http, long_text, "pdf")
    worker = wait_until(lambda: running_worker(http, conversion["id"]), within_s=30)
    os.kill(worker["pid"], signal.SIGKILL)
    ended = finish(http, conversion["id"])

    assert ended["status"] == "completed"
    assert ended["attempts_lost"] == 1
    assert ended["attempt"] == 1


def test_broker_when_killed_mid_conversion_then_this_and_the_next_one_complete(
    stack: Any, http: httpx2.Client, long_text: Path
) -> None:
    conversion = start(http, long_text, "pdf")
    wait_until(lambda: running_worker(http, conversion["id"]), within_s=30)
    stack.kill("rabbitmq")
    during = start(http, make_long_text(long_text.with_name("another.txt")), "pdf")
    ended, next_ended = finish(http, conversion["id"]), finish(http, during["id"])

    assert ended["status"] == "completed"
    assert ended["attempts_lost"] == 0
    assert next_ended["status"] == "completed"
