"""The rollout as a process: signals, credentials, botocore's repeats, over HTTP to a double of ECS (M17)."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.aws.conftest import ENVIRONMENT, WORKERS, image
from tests.unit.deploy.aws.ecs_double import EcsDouble, Refusal

ROOT = Path(__file__).resolve().parents[2]


class EcsServer(ThreadingHTTPServer):
    """The double behind the wire protocol of ECS."""

    daemon_threads = True

    def __init__(self, double: EcsDouble) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.double, self.lock = double, threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: EcsServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        try:
            with self.server.lock:
                status, answer = 200, self.server.double.answer(operation, request)
        except Refusal as refusal:
            status, answer = 400, {"__type": str(refusal), "message": "refused by the test"}
        content = json.dumps(answer, default=lambda moment: moment.timestamp()).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(double: EcsDouble) -> Iterator[EcsServer]:
    with EcsServer(double) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Cluster:
    """A cluster that runs release v1, and the process that deploys v2."""

    def __init__(self, server: EcsServer, folder: Path) -> None:
        self.ecs, self.folder = server.double, folder
        for name in ("file-service", *WORKERS):
            self.ecs.add_service(name, image(name, "1"))
        self.ecs.add_family("converto-test-housekeeping", image("file-service", "1"))
        images = {name: image(name, "2") for name in ("file-service", *WORKERS)}
        (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
        (folder / "release.json").write_text(json.dumps({"release": "v2", "images": images}))
        self.environment = {
            **{"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{ROOT}"},
            **{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"},
            "AWS_ENDPOINT_URL_ECS": server.url,
        }
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        files = ("--environment", str(self.folder / "environment.json"), "--release", str(self.folder / "release.json"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.aws.rollout", "deploy", *files, *arguments),
            env=self.environment,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.processes.append(process)
        return process


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    with serving(EcsDouble()) as server:
        one = Cluster(server, tmp_path)
        yield one
        for process in one.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def until(condition: Callable[[], bool], *, within_s: float = 30) -> None:
    """Wait until the condition holds; raise `TimeoutError` after the deadline."""
    async with asyncio.timeout(within_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_the_wait_and_rolls_back(cluster: Cluster, number: signal.Signals) -> None:
    process = await cluster.start()
    await until(lambda: bool(cluster.ecs.requests("DescribeServiceDeployments")))  # it sleeps between two looks now
    process.send_signal(number)
    output, _ = await asyncio.wait_for(process.communicate(), 8)  # less than the ten seconds of that sleep

    assert process.returncode == 130, output.decode()
    assert len(cluster.ecs.requests("StopServiceDeployment")) == 2
    assert b"worker-office: goes back to converto-test-worker-office:1; not waited for" in output


async def test_throttled_calls_are_repeated_by_botocore(cluster: Cluster) -> None:
    cluster.ecs.refuse("DescribeServices", "ThrottlingException", "ThrottlingException")
    process = await cluster.start("--dry-run")
    output, _ = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0, output.decode()
    assert b"dry run: nothing was changed" in output
    assert cluster.ecs.changes() == []


async def test_missing_credentials_are_refused_with_words(cluster: Cluster) -> None:
    del cluster.environment["AWS_ACCESS_KEY_ID"]
    process = await cluster.start()
    output, _ = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 2, output.decode()
    assert b"nothing was changed" in output
    assert b"credentials" in output
    assert b"Traceback" not in output
