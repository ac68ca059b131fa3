"""The programs of one side: clients, two workers, and converto's housekeeping. Workers that end are restarted."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from bench.reliability.servers import end, environment_of, started
from deploy.local.stack.stack import Stack
from tests.proxy import Proxy, proxy_to

WORKERS, SLOTS = 2, 2
LEASE_S = 5.0
RESTART_DELAY_S = 1.0  # like a supervisor
SETTINGS = {
    "CONVERTO_BEAT_INTERVAL_S": "1",
    "CONVERTO_LEASE_S": str(LEASE_S),
    "CONVERTO_SWEEP_INTERVAL_S": "0.5",
    "CONVERTO_REPUBLISH_AFTER_S": "5",
    "CONVERTO_RETRY_BASE_S": "1",
    "CONVERTO_WORKER_SLOTS": str(SLOTS),
    "CONVERTO_STOP_GRACE_S": "3",
    "CONVERTO_LOG_LEVEL": "warning",
}
WORKER = {
    "own": ["-m", "bench.reliability.bare_worker", "fixed"],
    "peer": ["-m", "celery", "--app", "bench.reliability.peer", "worker", "--concurrency", str(SLOTS)],
}


class Programs:
    """All programs of one side, with a small supervisor."""

    def __init__(self, side: str, environment: dict[str, str], logs: Path, broker_proxy: Proxy) -> None:
        """Prepare the programs without starting them."""
        self._side, self._environment, self._logs, self.broker_proxy = side, environment, logs, broker_proxy
        self._clients: list[subprocess.Popen[bytes]] = []
        self._housekeeping: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self._groups: set[int] = set()

    def start(self) -> None:
        """Start all programs."""
        self.workers = [self._worker(number) for number in range(WORKERS)]
        if self._side == "own":
            self._housekeeping = [self._start(["-m", "file_service.housekeeping"])]
        self._clients = [self._start(["-m", "bench.reliability.clients", self._side])]

    def stop_clients(self) -> None:
        """Stop submitting work; what was submitted is still processed."""
        end(self._clients)

    def stop(self) -> None:
        """Stop all programs, and kill what a killed one has left behind."""
        end([*self._clients, *self._housekeeping, *self.workers])
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    async def keep_running(self) -> None:
        """Restart workers that have ended, until cancelled."""
        while True:
            await asyncio.sleep(RESTART_DELAY_S)
            for number, worker in enumerate(self.workers):
                if worker.poll() is not None:
                    self.workers[number] = self._worker(number)

    def _worker(self, number: int) -> "subprocess.Popen[bytes]":
        own_name = ["--hostname", f"worker{number}@%h", "--loglevel", "WARNING"] if self._side == "peer" else []
        return self._start([*WORKER[self._side], *own_name])

    def _start(self, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
        process = started(arguments, self._environment, self._logs / f"bench-{self._side}.log")
        self._groups.add(process.pid)
        return process


@asynccontextmanager
async def prepared(
    stack: Stack, side: str, *, database: str, journal: Path, reject_on_lost: str
) -> AsyncIterator[Programs]:
    """Run the programs of one side; they reach the broker through a proxy that can cut connections."""
    broker = urlsplit(stack.environment["CONVERTO_RABBITMQ_URL"])
    async with proxy_to("127.0.0.1", broker.port or 0) as proxy:
        url = broker._replace(netloc=f"{broker.username}:{broker.password}@127.0.0.1:{proxy.port}").geturl()
        environment = environment_of(stack, database) | SETTINGS
        environment |= {"CONVERTO_RABBITMQ_URL": url, "PEER_BROKER_URL": url, "PEER_REJECT_ON_LOST": reject_on_lost}
        environment |= {"BENCH_JOURNAL": str(journal)}
        programs = Programs(side, environment, stack.home.logs, proxy)
        programs.start()
        supervising = asyncio.create_task(programs.keep_running())
        try:
            yield programs
        finally:
            supervising.cancel()
            await asyncio.to_thread(programs.stop)
