"""Crash points: the first process to reach one crashes, no other does, and the journal records what it held."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from deploy.local.home import REPOSITORY
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
