"""A broker that was killed just after a declaration starts with a queue that has no process: it is declared without an
error, ends the connection of whoever asks it, and confirms nothing. All workers stood still for good (C3, C4).
"""

from pathlib import Path

import httpx2
import pytest

from converto_core.conversion.record import Lane
from converto_core.events import queue_name
from converto_core.formats import Family
from deploy.local.stack.stack import Stack
from tests.assets.drawing.canvas import Canvas
from tests.assets.drawing.picture_files import png
from tests.broker_control import control_broker
from tests.e2e.plain_http import finish, start, wait_until
from tests.scenarios.test_bad_queue import faults, note

DEAD = queue_name(Family.OFFICE, Lane.NORMAL)
REPAIRED_WITHIN_S = 60

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


def end_process_of(stack: Stack, queue: str) -> None:
    """Leave the queue in the broker's tables and end its process, as an unlucky kill of the broker does."""
    control_broker(stack, "eval", f"ok = ra:stop_server(quorum_queues, {{'%2F_{queue}', node()}}).")


@pytest.mark.timeout(240)
def test_dead_queue_stops_nobody_and_is_made_anew(stack: Stack, http: httpx2.Client, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(Canvas(32, 32, (0, 90, 160))))
    before = start(http, note(tmp_path, "sphinx of black quartz"), "pdf")
    assert finish(http, before["id"])["status"] == "completed"
    wait_until(lambda: True if not faults(http) else None, within_s=REPAIRED_WITHIN_S)
    end_process_of(stack, DEAD)

    own = start(http, note(tmp_path, "judge my vow"), "pdf")
    other = start(http, picture, "webp")

    assert finish(http, other["id"])["status"] == "completed"
    words = f"queue {DEAD} has no process on the broker"
    wait_until(lambda: next((fault for fault in faults(http) if words in fault), None), within_s=30)
    assert finish(http, own["id"])["status"] == "completed"
    wait_until(lambda: True if not faults(http) else None, within_s=REPAIRED_WITHIN_S)
