"""Waits until the parts of the stack are healthy."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.errors import StartFailed, SupervisorGone
from deploy.local.stack import probes
from deploy.local.stack.ports import Ports
from deploy.local.stack.supervisor import Supervisor

POLL_INTERVAL_S = 0.05
# RabbitMQ needs about four seconds on two idle cores; the rest is for a busy machine.
HEALTHY_WITHIN_S = 90.0

Report = Callable[[str, float], None]
Probe = Callable[[], Awaitable[None]]


class Health:
    """The health of one stack. `report(name, seconds)` is called for each part that becomes healthy."""

    def __init__(
        self, supervisor: Supervisor, *, ports: Ports, settings: Mapping[str, str], logs: Path, report: Report
    ) -> None:
        self._supervisor = supervisor
        self._ports = ports
        self._settings = settings
        self._logs = logs
        self._report = report

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
        """Return when this program is healthy; raises `StartFailed` after 90 s, or at once when it has ended."""
        probe, log = self._probe(name), self._logs / f"{name}.log"
        started = time.monotonic()
        reason = "is not healthy"
        while time.monotonic() - started < HEALTHY_WITHIN_S:
            try:
                async with asyncio.timeout(HEALTHY_WITHIN_S):
                    await probe()
                self._report(name, time.monotonic() - started)
                return
            except (probes.NotHealthy, SupervisorGone, TimeoutError) as error:
                reason = f"is not healthy after {HEALTHY_WITHIN_S:.0f} s: {error}"
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
