"""Crash points and steps of the clock in processes: the first one to reach a point crashes, and no other does."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from deploy.local.home import REPOSITORY
from tests.chaos.processes.clock import step_file
from tests.chaos.processes.crash_points import CrashRequest
from tests.chaos.report.journal import Journal

PROCESS = """
import sys
from pathlib import Path
from tests.chaos.processes.crash_points import CrashPoints
from tests.chaos.report.journal import Journal
folder = Path(sys.argv[1])
crash_points = CrashPoints(folder, Journal(folder / "journal"))
crash_points.crash_if_requested("after insert", "another-1")
crash_points.crash_if_requested("uploading", "some-id-3")
"""


CLOCK = """
import time
from tests.chaos.processes.clock import follow_steps
right_ns = time.time_ns
follow_steps()
print(round((time.time_ns() - right_ns()) / 1e9), round(time.time() - right_ns() / 1e9))
"""


async def seconds_ahead(folder: Path) -> str:
    paths = [REPOSITORY, REPOSITORY / "libs", REPOSITORY / "services"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "CHAOS_FOLDER": str(folder)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CLOCK, env=environment, stdout=-1)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode().strip()


async def test_clock_of_a_process_follows_steps_and_returns(tmp_path: Path) -> None:
    step_file(tmp_path).write_text("3600")
    assert await seconds_ahead(tmp_path) == "3600 3600"
    step_file(tmp_path).write_text("-3600")
    assert await seconds_ahead(tmp_path) == "-3600 -3600"

    step_file(tmp_path).unlink()
    assert await seconds_ahead(tmp_path) == "0 0"


async def run_process(folder: Path) -> int:
    paths = [REPOSITORY, REPOSITORY / "libs", REPOSITORY / "services"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS, str(folder), env=environment)
    return await asyncio.wait_for(process.wait(), 60)


async def test_one_request_crashes_exactly_one_process(tmp_path: Path) -> None:
    request = CrashRequest(tmp_path, "uploading")
    request.make()
    statuses = await asyncio.gather(*(run_process(tmp_path) for _ in range(3)))

    (entry,) = Journal(tmp_path / "journal").read()
    assert sorted(statuses) == [-signal.SIGKILL, 0, 0]
    assert request.is_taken
    assert (entry.what, entry.detail, entry.conversion, entry.token) == ("crashed", "uploading", "some-id", 3)


async def test_withdrawn_request_crashes_no_process(tmp_path: Path) -> None:
    request = CrashRequest(tmp_path, "uploading")
    request.make()
    request.withdraw()

    assert await run_process(tmp_path) == 0
    assert not request.is_taken


def test_journal_is_read_in_order_of_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert journal.read() == []
    for token in (1, 2):
        journal.note("claimed", f"c1-{token}")

    assert [entry.token for entry in journal.read()] == [1, 2]
