"""Kill -9 of a worker or the broker during a conversion: it still ends as `completed`, without intervention.

Proves promises 1 and 3 of the design for these two faults, and C8 in part.
"""

import json
import os
import secrets
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.command_line import converto
from tests.e2e.plain_http import finish, start, wait_until

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


@pytest.fixture
def long_text(tmp_path: Path) -> Path:
    """A text of four hundred pages, which takes LibreOffice some seconds."""
    return make_long_text(tmp_path / "long.txt")


def make_long_text(path: Path) -> Path:
    """Write a different text each time, because the same text is converted only once."""
    lines = [f"{line:06d} the quick brown fox jumps over the lazy dog\n" for line in range(20_000)]
    path.write_text("".join([secrets.token_hex(16), "\n", *lines]))
    return path


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


def test_conversions_complete_although_the_broker_is_killed(stack: Any, http: httpx2.Client, long_text: Path) -> None:
    conversion = start(http, long_text, "pdf")
    wait_until(lambda: running_worker(http, conversion["id"]), within_s=30)
    stack.kill("rabbitmq")
    during = start(http, make_long_text(long_text.with_name("another.txt")), "pdf")
    ended, next_ended = finish(http, conversion["id"]), finish(http, during["id"])

    assert ended["status"] == "completed"
    assert ended["attempts_lost"] == 0
    assert next_ended["status"] == "completed"


def test_client_gets_its_result_after_a_restart(stack: Any, http: httpx2.Client, tmp_path: Path) -> None:
    """M1: the client may disconnect and fetch the result later by id."""
    source = tmp_path / "notes.txt"
    source.write_text("the quick brown fox jumps over the lazy dog\n" * 200)
    started = converto(stack, "convert", str(source), "--to", "pdf", "--detach", "--json", cwd=tmp_path)
    (result,) = json.loads(started.stdout)["results"]
    stack.kill("api")
    stack.kill("worker-1")
    stack.kill("rabbitmq")
    wait_until(lambda: http.get("/api/health/live").status_code == 200 or None, within_s=60)
    finish(http, result["conversion_id"])

    converto(stack, "download", result["conversion_id"], "-o", str(tmp_path / "later"), cwd=tmp_path)

    assert (tmp_path / "later" / "notes.pdf").read_bytes().startswith(b"%PDF")
