"""Waits until the parts of the stack are healthy."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.errors import StartFailed, SupervisorGone
from deploy.local.stack import probes
from deploy.local.stack.ports import Ports
from deploy.local.stack.supervisor import Supervisor

POLL_INTERVAL_S = 0.05
# RabbitMQ needs about four seconds on two idle cores. A machine with ten times the work that it can do needs ten times
# as long for everything.
HEALTHY_WITHIN_S = 90.0
SLOWEST = 10.0

Report = Callable[[str, float], None]
Probe = Callable[[], Awaitable[None]]


class Health:
    """The health of one stack. `report(name, seconds)` is called for each part that becomes healthy."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        ports: Ports,
        settings: Mapping[str, str],
        logs: Path,
        report: Report,
        slowness: Callable[[], float] | None = None,
    ) -> None:
        """`slowness` returns by how much this machine is slower than an idle one (default: by its load)."""
        self._supervisor = supervisor
        self._ports = ports
        self._settings = settings
        self._logs = logs
        self._report = report
        self._slowness = slowness or slowness_by_load

    async def wait_all(self, names: Sequence[str]) -> None:
        """Return when all these programs are healthy; raises `StartFailed` for the first one that fails."""
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self.wait(name))
        except BaseExceptionGroup as failures:
            # Report the first part that failed; the others were only cancelled.
            raise failures.exceptions[0] from None

    async def wait(self, name: str, *, fails_when_ended: bool = True) -> None:
        """Return when this program is healthy.

        Raises `StartFailed` at once when it has ended, else after 90 s, or later where the machine is overloaded.
        """
        probe, log = self._probe(name), self._logs / f"{name}.log"
        started = time.monotonic()
        reason = "is not healthy"
        while (elapsed_s := time.monotonic() - started) < HEALTHY_WITHIN_S * self._slowness():
            try:
                async with asyncio.timeout(HEALTHY_WITHIN_S):
                    await probe()
                self._report(name, time.monotonic() - started)
                return
            except (probes.NotHealthy, SupervisorGone, TimeoutError) as error:
                reason = f"is not healthy after {elapsed_s:.0f} s: {error}"
            if fails_when_ended:
                process = (await asyncio.to_thread(self._supervisor.processes))[name]
                if process.has_ended:
                    raise StartFailed(name, f"ended while starting ({process.how_it_ended})", log)
            await asyncio.sleep(POLL_INTERVAL_S)
        raise StartFailed(name, reason, log)

    def _probe(self, name: str) -> Probe:
        settings = self._settings
        known: dict[str, Probe] = {
            "epmd": lambda: probes.check_port(self._ports.epmd),
            "rabbitmq": lambda: probes.check_rabbitmq(settings["CONVERTO_RABBITMQ_URL"]),
            "mongo": lambda: probes.check_mongo(settings["CONVERTO_MONGODB_URL"]),
            "s3": lambda: probes.check_s3(settings),
            "api": lambda: probes.check_api(self._ports.api_url),
        }
        return known.get(name) or (lambda: self._check_process(name))

    async def _check_process(self, name: str) -> None:
        """Workers have no port, so the file service is asked; the watchdog only has to run."""
        process = (await asyncio.to_thread(self._supervisor.processes)).get(name)
        if process is None or not process.pid:
            raise probes.NotHealthy("it is not running")
        if name.startswith("worker"):
            await probes.check_worker(self._ports.api_url, self._settings["CONVERTO_BOOTSTRAP_API_KEY"], process.pid)


def slowness_by_load() -> float:
    """Return how many programs want each core, between 1 and 10."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), SLOWEST)
