"""A broker that was killed just after a declaration starts with a queue that has no process: it is declared without an
error, ends the connection of whoever asks it, and confirms nothing. All workers stood still for good (C3, C4).
"""

import os
import subprocess
from pathlib import Path

import httpx2
import pytest

from converto_core.conversion.record import Lane
from converto_core.events import queue_name
from converto_core.formats import Family
from deploy.local.stack.programs import rabbitmq_server
from deploy.local.stack.stack import Stack
from tests.assets.drawing.canvas import Canvas
from tests.assets.drawing.picture_files import png
from tests.e2e.plain_http import finish, start, wait_until

DEAD = queue_name(Family.OFFICE, Lane.NORMAL)
REPAIRED_WITHIN_S = 60

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


def end_process_of(stack: Stack, queue: str) -> None:
    """Leave the queue in the broker's tables and end its process, as an unlucky kill of the broker does."""
    environment = Path(f"/proc/{stack.pids['rabbitmq']}/environ").read_text().split("\0")
    names = ("HOME", "ERL_EPMD_PORT", "RABBITMQ_CONF_ENV_FILE")
    own = dict(line.split("=", 1) for line in environment if line.split("=", 1)[0] in names)
    end = f"ok = ra:stop_server(quorum_queues, {{'%2F_{queue}', node()}})."
    subprocess.run(
        [Path(rabbitmq_server()).with_name("rabbitmqctl"), "--node", "converto@localhost", "eval", end],
        env=own | {"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        timeout=60,
    )


def faults(http: httpx2.Client) -> str:
    return "\n".join(http.get("/api/health").json()["checks"]["broker"].get("faults", ()))


@pytest.mark.timeout(240)
def test_dead_queue_stops_nobody_and_is_made_anew(stack: Stack, http: httpx2.Client, tmp_path: Path) -> None:
    note, picture = tmp_path / "note.txt", tmp_path / "picture.png"
    note.write_text("the quick brown fox\n" * 20)
    picture.write_bytes(png(Canvas(32, 32, (0, 90, 160))))
    end_process_of(stack, DEAD)

    own = start(http, note, "pdf")
    other = start(http, picture, "webp")

    assert finish(http, other["id"])["status"] == "completed"
    assert f"queue {DEAD} has no process on the broker" in wait_until(lambda: faults(http) or None, within_s=30)
    assert finish(http, own["id"])["status"] == "completed"
    wait_until(lambda: True if not faults(http) else None, within_s=REPAIRED_WITHIN_S)
