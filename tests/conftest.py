"""Fixtures of all suites: real servers, the whole running stack, the corpus. Lazy: a unit test starts none of them.

Servers come from the environment (`CONVERTO_TEST_MONGODB_URL` …), else are started for this run, else come from
testcontainers; where none of that works a laptop skips and CI fails.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import pytest

from deploy.local.errors import ProgramMissing
from deploy.local.home import REPOSITORY, Home
from deploy.local.stack.ports import Ports
from deploy.local.stack.stack import SERVERS, Stack
from tests.distributions import UV, Distributions, build, install
from tests.servers import Servers, from_containers, from_environment, from_stack

# Short leases, so that what a killed worker held runs again within seconds, and early looks at uploads that wait.
IMPATIENT = {
    "CONVERTO_BEAT_INTERVAL_S": "0.5",
    "CONVERTO_LEASE_S": "5",
    "CONVERTO_RETRY_BASE_S": "0.2",
    "CONVERTO_SWEEP_INTERVAL_S": "0.3",
    "CONVERTO_REPUBLISH_AFTER_S": "5",
    "CONVERTO_STOP_GRACE_S": "5",
    "CONVERTO_UPLOAD_LOOKS_S": "1,2,4,8,16,32",
}


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A database, a broker and an object store that belong to this test run."""
    if given := from_environment(os.environ):
        yield given
        return
    try:
        with running_stack("servers", SERVERS) as stack:
            yield from_stack(stack)
        return
    except ProgramMissing as missing:
        reason = str(missing)
    with from_containers() as containers:
        if isinstance(containers, str):
            skip_or_fail(f"no servers for this test: {reason} {containers}")
        yield containers


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The whole stack: servers, file service and two workers, with short leases."""
    try:
        with running_stack("stack", (*SERVERS, "api", "workers"), settings=IMPATIENT) as running:
            yield running
    except ProgramMissing as missing:
        skip_or_fail(str(missing))


@pytest.fixture(scope="session")
def http(stack: Stack) -> Iterator[httpx2.Client]:
    """A client with the stack's key; its timeout leaves room for `Prefer: wait`."""
    with client_of(stack) as client:
        yield client


@pytest.fixture
def healthy_afterwards(stack: Stack) -> Iterator[None]:
    """For tests that kill parts of the stack: the next test starts when everything runs again."""
    yield
    for name in (*SERVERS, "api", "worker-1", "worker-2"):
        run_apart(lambda name=name: stack.wait_healthy(name))  # type: ignore[misc]


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The endpoint URL of moto, which plays S3 with its notifications, SQS and EventBridge."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The shared folder of real and hostile files, named by `CONVERTO_CORPUS` or found beside the repository."""
    return _shared_folder("CONVERTO_CORPUS", "corpus")


@pytest.fixture(scope="session")
def found() -> Path:
    """The shared folder of small files that once went wrong, named by `CONVERTO_FOUND` or beside the repository."""
    return _shared_folder("CONVERTO_FOUND", "found")


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The wheel and the sdist of this repository."""
    return build(tmp_path_factory.mktemp("distributions"))


@pytest.fixture(scope="session")
def installed_programs(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel and its locked base dependencies."""
    if not UV.exists():
        skip_or_fail("uv is missing; it is in deploy/requirements/dev.txt")
    return install(distributions.wheel, tmp_path_factory.mktemp("installed") / "venv")


def _shared_folder(variable: str, name: str) -> Path:
    """Skip where nobody named the folder and it is not beside the repository; fail if a wrong one is named."""
    named = os.environ.get(variable)
    folder = Path(named or REPOSITORY.parent / "shared" / name)
    if not folder.is_dir():
        (pytest.fail if named else pytest.skip)(f"{folder} is not here; {variable} may name another folder")
    return folder


def client_of(stack: Stack, *, timeout_s: float = 30) -> httpx2.Client:
    """A client of a stack with its key."""
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    return httpx2.Client(base_url=stack.url, headers=headers, timeout=timeout_s, trust_env=False)


@contextmanager
def running_stack(
    name: str, only: tuple[str, ...], *, settings: dict[str, str] | None = None, workers: int = 2
) -> Iterator[Stack]:
    """A stack of its own ports and folder, stopped and wiped at the end; CI keeps the logs."""
    folder = REPOSITORY / ".converto" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    home = Home(Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder)))
    running = Stack(home, ports=Ports.free(), workers=workers, settings=settings)
    try:
        run_apart(lambda: running.start(only))
        yield running
    finally:
        run_apart(running.stop)
        if os.environ.get("CI"):
            kept = folder / "kept" / home.root.name
            kept.mkdir(parents=True)
            home.logs.replace(kept / "logs")
        shutil.rmtree(home.root, ignore_errors=True)


def run_apart(start: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end on a loop and a thread of its own, away from the loop of the tests."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(start())).result()


def skip_or_fail(reason: str) -> NoReturn:
    """A missing server is an excuse on a laptop only."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
