"""The laptop stack with its real servers: started, inspected, killed in parts, stopped, started again."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pymongo
import pytest

from deploy.local.errors import StartFailed
from deploy.local.home import REPOSITORY
from deploy.local.stack.leftovers import marked
from deploy.local.stack.ports import Ports
from deploy.local.stack.sockets import listeners, pick_free_ports
from deploy.local.stack.stack import SERVERS, Stack
from tests.conftest import run_apart, running_stack, skip_or_fail

STORES = ("mongo", "s3")  # enough where the broker, slow to start, is not the point
UP_WITHIN_S = 60


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Skip where /proc is missing; these tests are about the stack itself, so other servers are no substitute."""
    if not Path("/proc/net/tcp").exists():
        skip_or_fail("the stack's sockets and leftovers are found through /proc")


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with running_stack("local", SERVERS) as stack:
        yield stack


def wait_until(ask: Any, *, within_s: float = UP_WITHIN_S) -> Any:
    """Poll until the answer is true, and return it; fail after the deadline."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing within {within_s} s")


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    """Wait for the end of the process and return its whole output."""
    return process.communicate(timeout=UP_WITHIN_S)[0]


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Return the output up to a line with these words."""
    assert process.stdout is not None
    deadline = threading.Timer(UP_WITHIN_S, process.kill)  # the reading below then ends
    deadline.start()
    lines = ""
    try:
        for line in process.stdout:
            lines += line
            if words in line:
                return lines
    finally:
        deadline.cancel()
    raise AssertionError(f"ended without {words!r}:\n{lines}")


@contextmanager
def foreground(home: Path, *only: str) -> Iterator[subprocess.Popen[str]]:
    """Run `up` as a user does and wait until it is healthy; nothing of it is left afterwards."""
    process = command("up", "--home", str(home), "--ports", "auto", "--only", ",".join(only))
    try:
        read_until(process, "Ctrl-C stops everything")
        yield process
    finally:
        process.kill()
        process.communicate()
        output_of(command("down", "--home", str(home)))


def test_stack_listens_on_loopback_only(running: Stack) -> None:
    found = listeners(marked(running.home.root))

    assert {listener.program for listener in found} >= {"epmd", "beam.smp", "rclone"}
    assert {listener.address for listener in found} <= {"127.0.0.1", "::1"}


def test_up_of_a_running_stack_prints_its_address(running: Stack) -> None:
    second = command("up", "--home", str(running.home.root))

    assert f"already running at {running.url}" in output_of(second)
    assert second.returncode == 0


def test_status_names_every_part(running: Stack) -> None:
    status = command("status", "--home", str(running.home.root))
    text = output_of(status)

    assert status.returncode == 0
    assert all(name in text for name in SERVERS)


@pytest.mark.parametrize("name", ["rabbitmq", "mongo", "s3"])
def test_killed_server_is_restarted(running: Stack, name: str) -> None:
    """C8 in part: broker, database and object store are restarted without intervention."""
    before = running.kill(name)
    after = wait_until(lambda: running.pids.get(name, before) != before and running.pids[name])
    run_apart(lambda: running.wait_healthy(name))

    assert after != before
    assert running.pids[name] == after


def test_data_survives_a_restart(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ports=Ports.free())
    run_apart(lambda: stack.start(STORES))
    try:
        with documents(stack) as kept:
            kept.insert_one({"_id": "kept"})
        bucket(stack).put_object(Key="a/kept.txt", Body=b"kept")
        run_apart(stack.stop)
        run_apart(lambda: stack.start(STORES))

        with documents(stack) as kept:
            assert kept.find_one({"_id": "kept"}) == {"_id": "kept"}
        assert bucket(stack).Object("a/kept.txt").get()["Body"].read() == b"kept"
    finally:
        run_apart(stack.stop)


def test_interrupt_stops_everything_in_order(tmp_path: Path) -> None:
    with foreground(tmp_path, *SERVERS) as up:
        pids = marked(tmp_path)
        up.send_signal(signal.SIGINT)
        text = output_of(up)

        assert up.returncode == 0
        assert "Everything is stopped" in text
        assert len(pids) >= len(SERVERS)
        assert marked(tmp_path) == []
        assert not (tmp_path / "stack.json").exists()


def test_interrupt_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    up = command("up", "--home", str(tmp_path), "--ports", "auto", "--only", ",".join(SERVERS))
    read_until(up, "mongo")  # RabbitMQ takes seconds longer
    up.send_signal(signal.SIGINT)

    assert "Stopped before it was up" in output_of(up)
    assert up.returncode == 130
    assert marked(tmp_path) == []


def test_one_line_names_a_killed_child_and_its_log(tmp_path: Path) -> None:
    with foreground(tmp_path, *STORES) as up:
        pid = Stack(tmp_path).kill("s3")
        line = read_until(up, f"s3 (pid {pid}) ended unexpectedly").splitlines()[-1]

        assert str(tmp_path / "logs" / "s3.log") in line


def test_stack_ends_when_up_is_killed(tmp_path: Path) -> None:
    with foreground(tmp_path, *STORES) as up:
        up.kill()

        wait_until(lambda: not marked(tmp_path))
        assert not (tmp_path / "stack.json").exists()


def test_down_from_another_terminal_ends_up(tmp_path: Path) -> None:
    with foreground(tmp_path, *STORES) as up:
        down = command("down", "--home", str(tmp_path))

        assert "converto is stopped" in output_of(down)
        assert "stopped from another terminal" in output_of(up)


def test_down_reports_that_nothing_runs(tmp_path: Path) -> None:
    down = command("down", "--home", str(tmp_path))

    assert "was not running" in output_of(down)
    assert down.returncode == 0


def test_next_start_cleans_up_after_a_killed_supervisor(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ports=Ports.free(), is_guarded=False)
    run_apart(lambda: stack.start(STORES))
    orphans = set(stack.pids.values())
    os.kill(stack.supervisor_pid() or 0, signal.SIGKILL)
    try:
        run_apart(lambda: stack.start(STORES))

        assert not orphans & set(marked(tmp_path))
        assert set(stack.pids) == set(STORES)
    finally:
        run_apart(stack.stop)
    assert marked(tmp_path) == []


def test_port_in_use_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = str(pick_free_ports(1)[0])
        variables = {"CONVERTO_S3_PORT": str(port), "CONVERTO_MONGODB_PORT": free}
        up = command("up", "--home", str(tmp_path), "--only", ",".join(STORES), **variables)
        text = output_of(up)

    assert up.returncode == 1
    assert re.search(rf"Port {port} for s3 is in use by .* \(pid {os.getpid()}\)\..*CONVERTO_S3_PORT=", text)
    assert marked(tmp_path) == []


def test_wrong_setting_fails_the_start_with_its_log(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ports=Ports.free(), settings={"CONVERTO_LEASE_S": "soon"})
    with pytest.raises(StartFailed) as failed:
        run_apart(lambda: stack.start(("api",)))

    assert "api ended while starting" in str(failed.value)
    assert "lease_s" in str(failed.value).lower()
    assert marked(tmp_path) == []


@contextmanager
def documents(stack: Stack) -> Iterator[Any]:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(stack.environment["CONVERTO_MONGODB_URL"])
    with client:
        yield client["test"]["kept"]


def bucket(stack: Stack) -> Any:
    settings = stack.environment
    return boto3.resource(
        "s3",
        endpoint_url=settings["CONVERTO_S3_ENDPOINT_URL"],
        aws_access_key_id=settings["CONVERTO_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["CONVERTO_S3_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    ).Bucket(settings["CONVERTO_S3_BUCKET"])
