"""A program that keeps ending is started again for ever, by a real supervisord (part of C8)."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.__main__ import status_line
from deploy.local.home import Home
from deploy.local.stack.orphans import kill_orphans
from deploy.local.stack.programs import Program, base_environment
from deploy.local.stack.supervisor import START_TRIES, Process, Supervisor, configuration

FAILURES = 30
"""More than supervisord tries with any setting that is usual."""
FAIL_OFTEN = """
import pathlib, sys, time
count = pathlib.Path(sys.argv[1])
count.write_text(str(int(count.read_text() or 0) + 1))
if int(count.read_text()) <= int(sys.argv[2]):
    sys.exit(3)
pathlib.Path(sys.argv[3]).touch()
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "state")
    home.create()
    yield home
    kill_orphans(home.root)


@pytest.fixture
def supervisor(home: Home) -> Iterator[Supervisor]:
    """Gives up at the first failure and waits for nothing: a quarter of an hour in seconds."""
    supervisor = Supervisor(home, start_tries=0)
    yield supervisor
    supervisor.kill()


def failing(home: Home, *, times: int, name: str = "flaky", is_restarted: bool = True) -> Program:
    """A program that ends at once so often, and then runs."""
    count = home.root / f"count-{name}"
    count.write_text("")
    return Program(
        name=name,
        argv=[sys.executable, "-I", "-S", "-c", FAIL_OFTEN, str(count), str(times), str(works(home))],
        environment=base_environment(home),
        folder=str(home.root),
        is_restarted=is_restarted,
    )


def works(home: Home) -> Path:
    return home.root / "works"


def count_of(home: Home, name: str = "flaky") -> int:
    return int((home.root / f"count-{name}").read_text() or 0)


async def until_in_state(supervisor: Supervisor, state: str, name: str = "flaky") -> Process:
    async with asyncio.timeout(100):
        while (found := supervisor.processes()[name]).statename != state:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    return found


async def test_program_that_fails_thirty_times_runs_at_last(home: Home, supervisor: Supervisor) -> None:
    supervisor.start([failing(home, times=FAILURES)])
    supervisor.start_program("flaky")
    running = await until_in_state(supervisor, "RUNNING")

    assert works(home).exists()
    assert count_of(home) == FAILURES + 1
    os.kill(running.pid, 0)


async def test_program_that_may_end_stays_ended(home: Home, supervisor: Supervisor) -> None:
    """The watchdog, which has done its work."""
    watchdog = failing(home, times=FAILURES, name="watchdog", is_restarted=False)
    supervisor.start([watchdog, failing(home, times=2)])
    for name in ("watchdog", "flaky"):
        supervisor.start_program(name)
    await until_in_state(supervisor, "RUNNING")
    await until_in_state(supervisor, "FATAL", "watchdog")

    assert (count_of(home, "watchdog"), count_of(home)) == (1, 3)


async def test_stopped_stack_starts_nothing_again(home: Home, supervisor: Supervisor) -> None:
    supervisor.start([failing(home, times=10**6)])
    supervisor.start_program("flaky")
    async with asyncio.timeout(100):
        while count_of(home) < 3:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    supervisor.stop_restarting()
    await until_in_state(supervisor, "FATAL")
    count = count_of(home)
    supervisor.shut_down()
    async with asyncio.timeout(100):
        while not supervisor.has_child_ended():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)

    assert count_of(home) == count


def test_pauses_stay_within_five_seconds(home: Home) -> None:
    """supervisord waits one second more after each failure, until the restarter begins anew."""
    text = configuration(home, [failing(home, times=1)])

    assert START_TRIES <= 5
    assert f"startretries = {START_TRIES}" in text
    assert "PROCESS_STATE_FATAL" in text


def test_status_tells_why_and_what_next() -> None:
    ended = Process(name="api", statename="BACKOFF", pid=0, exitstatus=3, spawnerr="")
    line = status_line("api", ended, Path("logs/api.log"))

    assert "exit status 3" in line and "started again every few seconds" in line and "logs/api.log" in line
