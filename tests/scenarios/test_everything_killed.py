"""Every process of a stack is killed with SIGKILL at once: the first start afterwards succeeds, and nothing is lost.

Promises 1 and 3, C7, M1: whatever the conversions were doing, all of them complete, although no client comes back.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.local.errors import ProgramMissing
from deploy.local.home import REPOSITORY
from deploy.local.stack.orphans import find_orphans
from deploy.local.stack.ports import VARIABLES, Ports
from deploy.local.stack.stack import EVERYTHING, SERVERS, Stack
from tests.burners import burners
from tests.conftest import IMPATIENT, client_of, run_apart, running_stack, skip_or_fail
from tests.e2e.plain_http import fetch, finish, start, wait_until
from tests.e2e.test_survival import make_long_text, running_worker

WITHIN_S = 120
BURNERS = 2

pytestmark = [pytest.mark.minutes, pytest.mark.timeout(900)]


def kill_all(root: Path) -> set[int]:
    """SIGKILL every process of the stack, the supervisor first, in no time and without waiting; return their ids."""
    killed = set[int]()
    while pids := find_orphans(root):
        killed |= set(pids)
        for pid in sorted(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return killed


def put_only(http: httpx2.Client, path: Path) -> dict[str, Any]:
    """Announce a conversion and send its bytes, as a client does that dies before it confirms."""
    body = {"target_format": "pdf", "file": {"filename": path.name, "size_bytes": path.stat().st_size}}
    created = http.post("/api/v1/conversions", json=body).json()
    upload = created["upload"]
    assert httpx2.put(upload["url"], content=path.read_bytes(), headers=upload["headers"]).status_code == 200
    return dict(created["conversion"])


def status_of(http: httpx2.Client, conversion: dict[str, Any]) -> str:
    return str(http.get(f"/api/v1/conversions/{conversion['id']}").json()["status"])


def in_every_state(http: httpx2.Client, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Conversions by their status: one has completed, the workers run some, others wait for a worker or for nobody."""
    text = iter(range(1000))

    def long_text() -> Path:
        return make_long_text(folder / f"{next(text)}.txt")

    short = folder / "short.txt"
    short.write_text(os.urandom(8).hex())
    completed = start(http, short, "pdf")
    assert finish(http, completed["id"])["status"] == "completed"
    started = [start(http, long_text(), "pdf") for _ in range(6)]
    wait_until(lambda: any(running_worker(http, one["id"]) for one in started) or None, within_s=WITHIN_S)
    arrived = [put_only(http, long_text()) for _ in range(3)]
    by_status: dict[str, list[dict[str, Any]]] = {}
    for one in (completed, *started, *arrived):
        by_status.setdefault(status_of(http, one), []).append(one)
    return by_status


@pytest.mark.parametrize("load", [0, BURNERS])
def test_all_conversions_complete_although_everything_was_killed(tmp_path: Path, load: int) -> None:
    try:
        # Looks come late enough that what has arrived still waits for its confirmation when the end comes.
        settings = {**IMPATIENT, "CONVERTO_UPLOAD_LOOKS_S": "20,40,80"}
        with (
            burners(load),
            running_stack("killed", EVERYTHING, settings=settings) as stack,
            client_of(stack, timeout_s=60) as http,
        ):
            before = in_every_state(http, tmp_path)
            killed = kill_all(stack.home.root)
            began = time.monotonic()
            run_apart(lambda: stack.start(EVERYTHING))  # the first start succeeds: there is no second try
            up_after_s = time.monotonic() - began
            everything = [one for conversions in before.values() for one in conversions]
            ended = {one["id"]: wait_ended(http, one) for one in everything}
            assert {status for status, _ in ended.values()} == {"completed"}, (before, ended)
            outputs = [fetch(http, one["id"]) for one in everything]
    except ProgramMissing as missing:
        skip_or_fail(str(missing))

    assert set(before) >= {"completed", "processing", "pending", "awaiting_upload"}, before.keys()
    assert len(killed) >= len(EVERYTHING)
    assert up_after_s < 90
    assert all(body.startswith(b"%PDF") for bodies in outputs for body in bodies)


def wait_ended(http: httpx2.Client, conversion: dict[str, Any]) -> tuple[str, Any]:
    """Status and error of the conversion once it has ended."""

    def ended() -> tuple[str, Any] | None:
        found = http.get(f"/api/v1/conversions/{conversion['id']}").json()
        is_ended = found["status"] in {"completed", "failed", "cancelled", "expired"}
        return (found["status"], found.get("error")) if is_ended else None

    return wait_until(ended, within_s=WITHIN_S)


# Killed while it starts for the first time


def _supervisor_answers(stack: Stack) -> bool:
    return stack.supervisor_pid() is not None


def _erlang_runs(stack: Stack) -> bool:
    return any("beam.smp" in _command_of(pid) for pid in find_orphans(stack.home.root))


def _broker_writes(stack: Stack) -> bool:
    return any((stack.home.data / "rabbitmq" / "mnesia").glob("*/*"))


def _broker_is_up(stack: Stack) -> bool:
    return "rabbitmq" in _healthy_lines(stack)


MOMENTS: dict[str, Callable[[Stack], bool]] = {
    "supervisor": _supervisor_answers,
    "Erlang": _erlang_runs,
    "files of the broker": _broker_writes,
    "broker": _broker_is_up,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_first_start_that_was_killed_can_be_repeated(tmp_path: Path, moment: str) -> None:
    """Half-made files of a first start stand in no later start's way."""
    stack = Stack(tmp_path, ports=Ports.free())
    command = [sys.executable, "-m", "deploy.local", "up", "--home", str(tmp_path), "--only", ",".join(SERVERS)]
    with (tmp_path / "up.log").open("wb") as output:
        environment = os.environ | _variables(stack)
        up = subprocess.Popen([*command, "--detach"], cwd=REPOSITORY, stdout=output, stderr=output, env=environment)
    try:
        wait_until(lambda: MOMENTS[moment](stack) or None, within_s=WITHIN_S)
        up.kill()
        up.wait()
        kill_all(tmp_path)
        run_apart(lambda: stack.start(SERVERS))

        assert set(stack.pids) >= set(SERVERS)
    finally:
        up.kill()
        up.wait()
        run_apart(stack.stop)
    assert find_orphans(tmp_path) == []


def _variables(stack: Stack) -> dict[str, str]:
    return {variable: str(getattr(stack._ports, name)) for name, variable in VARIABLES.items()}


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return ""


def _healthy_lines(stack: Stack) -> str:
    return (stack.home.root / "up.log").read_text()
