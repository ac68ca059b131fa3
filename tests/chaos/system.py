"""The system under test: real servers, a fault proxy before each, and our services behind them, in one folder."""

import asyncio
import functools
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from converto_infra.settings import Settings
from deploy.local.home import REPOSITORY, Home
from deploy.local.stack import programs
from deploy.local.stack.ports import Ports
from deploy.local.stack.sockets import pick_free_ports
from deploy.local.stack.stack import SERVERS, Stack
from tests.broker_control import control_broker
from tests.chaos.clients.connection import Traffic
from tests.chaos.disks import mounted
from tests.chaos.history.journal import Journal as History
from tests.chaos.report.entries import Outage, Verdict
from tests.chaos.report.journal import HISTORY, PROCESSES, RUN, Journal, RunJournal
from tests.chaos.report.machine import measure_before
from tests.chaos.report.rereads import NotAnswered, until_answered
from tests.chaos.service import Service, close_all
from tests.proxy import Proxy, proxy_to

LEASE_S = 6.0
READY_WITHIN_S, HEALED_WITHIN_S = 120.0, 120.0
FILE_SERVICES, WORKERS = 2, 3
CLOCK_SKEWS_S = (0, 3600, -3600)  # of each worker
LISTED_WORKERS = 2  # the one whose clock is an hour behind is not listed as alive; it works all the same
SMALL_DISK_BYTES, OBJECT_DISK_BYTES = 20 * 1024**2, 128 * 1024**2
SHORT_TIMES = {
    "CONVERTO_LEASE_S": f"{LEASE_S:g}",
    "CONVERTO_BEAT_INTERVAL_S": "1",
    "CONVERTO_SWEEP_INTERVAL_S": "0.3",
    "CONVERTO_RETRY_BASE_S": "0.2",
    "CONVERTO_RETRY_MAX_S": "2",
    "CONVERTO_REPUBLISH_AFTER_S": "5",
    "CONVERTO_REPUBLISH_MAX_S": "10",
    "CONVERTO_STOP_GRACE_S": "2",
    "CONVERTO_UPLOAD_LOOKS_S": ",".join(str(age_s) for age_s in range(2, 300, 2)),
    "CONVERTO_WORKER_SLOTS": "2",
    # Longer than any worker is stopped, as the real timeout is: a stopped worker counts that time as the engine's, and
    # when the reapers could not reach the database meanwhile, no other worker has taken the conversion over.
    "CONVERTO_CONVERSION_TIMEOUT_S": "12",
    "CONVERTO_ENGINE_MEMORY_BYTES": str(192 * 1024**2),
    "CONVERTO_WORK_RESERVE_BYTES": str(2 * 1024**2),
    "CONVERTO_LOG_LEVEL": "info",
}


class System:
    """Everything that a fault can break, and what is needed to heal it."""

    def __init__(self, stack: Stack, home: Home, environment: dict[str, str], *, seed: int) -> None:
        self.stack, self.home, self.environment = stack, home, environment
        self.settings = settings_of(stack.environment)  # directly to the servers, past the proxies
        self.chance = random.Random(f"{seed}-faults")
        self.crashes = home.root / "crashes"
        self.small_disk: Path | None = None
        """The disk with the work folder of the last worker, where this user may mount one."""
        self.object_disk: Path | None = None
        """The disk with the data of the object store, likewise."""
        self.proxies: dict[str, Proxy] = {}
        self.apis: list[Service] = []
        self.api_urls: list[str] = []
        self.workers: list[Service] = []
        self.housekeeping: Service | None = None
        self.journal, self.run_journal = Journal(home.root / PROCESSES), RunJournal(home.root / RUN)
        self.history = History(home.root / HISTORY)
        self.traffic = Traffic()
        self.is_kept = True

    @property
    def work_folders(self) -> list[Path]:
        """The parents of the private folders of running conversions."""
        return [self.home.root / "work", *([self.small_disk / "work"] if self.small_disk else [])]

    @property
    def services(self) -> list[Service]:
        """All services of ours."""
        sweeping = [self.housekeeping] if self.housekeeping else []
        return [*self.workers, *self.apis, *sweeping]

    @contextmanager
    def outage(self, dependency: str, fault: str) -> Iterator[None]:
        """Record an outage that lasts as long as the `with` block."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            self.run_journal.append(Outage(dependency, fault, began_s, time.monotonic()))

    async def control_broker(self, *command: str) -> None:
        """Run rabbitmqctl on our node; raises when it fails."""
        await asyncio.to_thread(control_broker, self.stack, *command)

    async def kill_server(self, name: str) -> None:
        """Kill a server with SIGKILL and wait until it is healthy again."""
        await asyncio.to_thread(self.stack.kill, name)
        await self.stack.wait_healthy(name)

    async def signal_server(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server."""
        pids = await asyncio.to_thread(lambda: self.stack.pids)
        os.kill(pids[name], number)

    async def heal(self) -> None:
        """Undo whatever faults left behind. What cannot be healed is a verdict; the rest is healed all the same."""
        for service in self.services:
            service.signal(signal.SIGCONT)
        for request in self.crashes.glob("*.wanted"):
            request.unlink(missing_ok=True)
        for name, proxy in self.proxies.items():
            await self._heal(f"the proxy before the {name}", proxy.heal)
        for name in SERVERS:
            await self._heal(name, functools.partial(self.stack.wait_healthy, name))

    async def _heal(self, what: str, heal: Callable[[], Awaitable[None]]) -> None:
        try:
            await until_answered(what, heal, within_s=HEALED_WITHIN_S)
        except NotAnswered as error:
            self.run_journal.append(Verdict("heal failed", str(error)))


@asynccontextmanager
async def running_system(seed: int) -> AsyncIterator[System]:
    """Start a healthy system; afterwards only the folder of a failed run is left."""
    folder = REPOSITORY / ".converto" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    home = Home(Path(tempfile.mkdtemp(prefix="chaos-", dir=folder)))
    ports = Ports.free()
    stack = Stack(home, ports=ports)
    broker_environment = programs.rabbitmq(home, ports, home.secrets()).environment
    system = System(stack, home, broker_environment, seed=seed)
    system.crashes.mkdir()
    async with AsyncExitStack() as resources:
        resources.callback(_remove_unless_kept, system)
        await measure_before(system.run_journal)
        system.small_disk = resources.enter_context(mounted(home.root / "disk", SMALL_DISK_BYTES))
        # The data of a run that is kept outlives its disk.
        object_disk = mounted(home.data / "s3", OBJECT_DISK_BYTES, is_kept=lambda: system.is_kept)
        system.object_disk = resources.enter_context(object_disk)
        resources.push_async_callback(stack.stop)
        await stack.start(SERVERS)
        await _open_proxies(system, resources)
        _build_services(system)
        resources.push_async_callback(lambda: close_all(system.services))
        for service in system.services:
            service.start()
        await _until_ready(system)
        yield system


def _remove_unless_kept(system: System) -> None:
    """Delete logs and data unless the run failed or found something."""
    if not system.is_kept:
        shutil.rmtree(system.home.root, ignore_errors=True)


def settings_of(environment: dict[str, str]) -> Settings:
    """Return the settings that a service would read from this environment."""
    fields = {name.removeprefix("CONVERTO_").lower(): value for name, value in environment.items()}
    return Settings(**fields)  # type: ignore[arg-type]


async def _open_proxies(system: System, resources: AsyncExitStack) -> None:
    addresses = {
        "database": system.settings.mongodb_url.get_secret_value(),
        "broker": system.settings.rabbitmq_url.get_secret_value(),
        "object_store": system.settings.s3_endpoint_url or "",
    }
    for name, url in addresses.items():
        parts = urlsplit(url)
        system.proxies[name] = await resources.enter_async_context(proxy_to("127.0.0.1", parts.port or 0))


def _build_services(system: System) -> None:
    ports = pick_free_ports(FILE_SERVICES)
    system.api_urls = [f"http://127.0.0.1:{port}" for port in ports]
    base = _service_environment(system)

    def build(name: str, module: str, **own: str) -> Service:
        logs, journal = system.home.logs, system.run_journal
        return Service(name, module, environment=base | own, logs=logs, journal=journal)

    for number, port in enumerate(ports, start=1):
        system.apis.append(build(f"api-{number}", "tests.chaos.processes.api", CONVERTO_PORT=str(port)))
    system.housekeeping = build("housekeeping", "tests.chaos.processes.housekeeping")
    for number, skew_s in zip(range(1, WORKERS + 1), CLOCK_SKEWS_S, strict=True):
        own = {"CHAOS_SKEW_S": str(skew_s)}
        if number == WORKERS and system.small_disk is not None:
            own["CONVERTO_WORK_DIR"] = str(system.small_disk / "work")
        system.workers.append(build(f"worker-{number}", "tests.chaos.processes.worker", **own))


def direct_environment(system: System) -> dict[str, str]:
    """Return the environment of a service that reaches the servers past the proxies."""
    settings = system.stack.environment | SHORT_TIMES
    service = programs.service("any", "any", home=system.home, settings=settings)
    python_path = os.pathsep.join([service.environment["PYTHONPATH"], str(REPOSITORY)])
    return service.environment | {"PYTHONPATH": python_path, "CHAOS_FOLDER": str(system.home.root)}


def _service_environment(system: System) -> dict[str, str]:
    password = system.home.secrets().rabbitmq_password
    ports = {name: proxy.port for name, proxy in system.proxies.items()}
    return direct_environment(system) | {
        "CONVERTO_MONGODB_URL": f"mongodb://127.0.0.1:{ports['database']}/?directConnection=true",
        "CONVERTO_RABBITMQ_URL": f"amqp://converto:{password}@127.0.0.1:{ports['broker']}/",
        "CONVERTO_S3_ENDPOINT_URL": f"http://127.0.0.1:{ports['object_store']}",
    }


async def _until_ready(system: System) -> None:
    """Wait until all services answer and enough workers are listed."""
    headers = {"Authorization": f"Bearer {system.stack.api_key}"}
    try:
        async with asyncio.timeout(READY_WITHIN_S), httpx2.AsyncClient(headers=headers, trust_env=False) as http:
            while not await _is_ready(system, http):  # noqa: ASYNC110 - other processes become ready
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise RuntimeError(
            f"The services were not ready within {READY_WITHIN_S:.0f} s. Logs: {system.home.logs}"
        ) from error


async def _is_ready(system: System, http: httpx2.AsyncClient) -> bool:
    try:
        for url in system.api_urls:
            if (await http.get(f"{url}/api/health/ready")).status_code != 200:
                return False
            workers = (await http.get(f"{url}/api/v1/workers")).json()["workers"]
            if len(workers) < LISTED_WORKERS:
                return False
    except httpx2.HTTPError:
        return False
    return True
