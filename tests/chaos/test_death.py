"""Death at a named point: whoever comes first dies there, nobody else does, and the journal keeps what it held."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from deploy.local.home import REPOSITORY
from tests.chaos.processes.death import DeathRequest
from tests.chaos.report.journal import Journal

VICTIM = """
import sys
from pathlib import Path
from tests.chaos.processes.death import Death
from tests.chaos.report.journal import Journal
folder = Path(sys.argv[1])
death = Death(folder, Journal(folder / "journal"))
death.may_come("after insert", "another-1")
death.may_come("uploading", "some-id-3")
"""


async def run_victim(folder: Path) -> int:
    paths = [REPOSITORY, REPOSITORY / "libs", REPOSITORY / "services"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", VICTIM, str(folder), env=environment)
    return await asyncio.wait_for(victim.wait(), 60)


async def test_death_when_asked_for_once_then_exactly_one_of_several_dies_and_says_what_it_held(tmp_path: Path) -> None:
    request = DeathRequest(tmp_path, "uploading")
    request.make()
    statuses = await asyncio.gather(*(run_victim(tmp_path) for _ in range(3)))

    (entry,) = Journal(tmp_path / "journal").read()
    assert sorted(statuses) == [-signal.SIGKILL, 0, 0]
    assert request.is_taken
    assert (entry.what, entry.detail, entry.conversion, entry.token) == ("died", "uploading", "some-id", 3)


async def test_death_when_withdrawn_then_nobody_dies(tmp_path: Path) -> None:
    request = DeathRequest(tmp_path, "uploading")
    request.make()
    request.withdraw()

    assert await run_victim(tmp_path) == 0
    assert not request.is_taken


def test_journal_when_read_then_in_the_order_of_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert journal.read() == []
    for token in (1, 2):
        journal.note("claimed", f"c1-{token}")

    assert [entry.token for entry in journal.read()] == [1, 2]
