"""The whole laptop stack: starts in order, waits until healthy, stops in order."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from deploy.local.errors import AlreadyRunning, SupervisorGone
from deploy.local.home import Home, write_private
from deploy.local.stack import programs
from deploy.local.stack.health import POLL_INTERVAL_S, Health, Report
from deploy.local.stack.orphans import kill_orphans
from deploy.local.stack.ports import Ports
from deploy.local.stack.programs import Program, Stage
from deploy.local.stack.supervisor import Process, Supervisor
from deploy.local.stack.watchdog import is_alive

SERVERS = ("rabbitmq", "mongo", "s3")
EVERYTHING = (*SERVERS, "api", "workers")
SHUTDOWN_WITHIN_S = 10.0


class StackState(msgspec.Struct, frozen=True):
    """`stack.json`: how to reach a running stack. Only its owner may read it, because it holds all secrets."""

    url: str
    api_key: str
    environment: dict[str, str]
    pids: dict[str, int]
    supervisor_pid: int
    started_at: int


class Stack:
    """The stack of one state folder. Another process can build the same object to inspect or stop it.

    `settings` are CONVERTO_… variables for the services. With `is_watched` the stack stops when this process ends.
    `report(name, seconds)` is called for each part that becomes healthy.
    """

    def __init__(
        self,
        home: Path | Home,
        *,
        ports: Ports | None = None,
        workers: int | None = None,
        settings: Mapping[str, str] | None = None,
        is_watched: bool = True,
        report: Report | None = None,
    ) -> None:
        self.home = home if isinstance(home, Home) else Home(home)
        self.home.create()
        self._ports = ports or Ports.from_environment(os.environ)
        self._worker_count = workers or os.cpu_count() or 1
        self._secrets = self.home.secrets()
        self._settings = dict(settings or {})
        self._is_watched = is_watched
        self._report = report or (lambda name, seconds: None)
        self._supervisor = Supervisor(self.home)

    @property
    def environment(self) -> dict[str, str]:
        """All CONVERTO_… variables of the services, secrets included."""
        return programs.service_environment(self.home, self._ports, self._secrets, os.environ) | self._settings

    @property
    def url(self) -> str:
        """URL of the file service."""
        return self._ports.api_url

    @property
    def api_key(self) -> str:
        """The API key that the file service accepts from its first start."""
        return self._secrets.api_key

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of running programs by name; raises `SupervisorGone`."""
        return {name: process.pid for name, process in self.processes().items() if process.pid}

    def processes(self) -> dict[str, Process]:
        """The status of each program; raises `SupervisorGone`."""
        return self._supervisor.processes()

    def supervisor_pid(self) -> int | None:
        """Process id of supervisord, None when it does not run."""
        return self._supervisor.pid()

    def log_of(self, name: str) -> Path:
        """The log file of a program."""
        return self.home.logs / f"{name}.log"

    def state(self) -> StackState | None:
        """How to reach the stack of this folder; None unless it has started and its supervisor still runs."""
        try:
            state = msgspec.json.decode(self.home.stack_file.read_bytes(), type=StackState)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return state if self._supervisor.pid() == state.supervisor_pid else None

    async def start(self, only: Sequence[str] = EVERYTHING) -> None:
        """Start these parts and return when all are healthy; a failure leaves nothing running.

        Raises `AlreadyRunning`, `PortInUse`, `ProgramMissing`, `StartFailed`.
        """
        async with self.home.locked():
            if running := await asyncio.to_thread(self.state):
                raise AlreadyRunning(running.url)
            await self._stop_all()
            chosen = self._programs(only)
            await asyncio.to_thread(self._ports.check, listeners_of(only))
            try:
                await asyncio.to_thread(self._supervisor.start, chosen)
                await self._start_in_order(chosen)
                self._write_state()
            except BaseException:
                await asyncio.shield(self._stop_all())
                raise

    async def stop(self) -> None:
        """Stop workers, service, servers and supervisor, in this order; does nothing when nothing runs."""
        async with self.home.locked():
            await self._stop_all()

    def kill(self, name: str) -> int:
        """SIGKILL one program and return its pid; the supervisor restarts it."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_everything(self) -> None:
        """Kill all processes of this stack at once."""
        self._supervisor.kill()
        kill_orphans(self.home.root)
        self.home.stack_file.unlink(missing_ok=True)

    async def wait_healthy(self, name: str) -> None:
        """Return when this part is healthy (again); raises `StartFailed`."""
        await self._health().wait(name, fails_when_ended=False)

    def _programs(self, only: Sequence[str]) -> list[Program]:
        settings = self.environment
        parts: dict[str, list[Callable[[], Program]]] = {
            "rabbitmq": [
                lambda: programs.epmd(self.home, self._ports),
                lambda: programs.rabbitmq(self.home, self._ports, self._secrets),
            ],
            "mongo": [lambda: programs.mongo(self.home, self._ports)],
            "s3": [lambda: programs.s3(self.home, self._ports, self._secrets)],
            "api": [lambda: programs.api(self.home, settings)],
            "workers": [
                lambda number=number: programs.worker(self.home, settings, number)  # type: ignore[misc]
                for number in range(1, self._worker_count + 1)
            ],
        }
        chosen = [build() for part in EVERYTHING if part in only for build in parts[part]]
        return [*chosen, programs.watchdog(self.home, os.getpid())] if self._is_watched else chosen

    async def _start_in_order(self, chosen: Sequence[Program]) -> None:
        """epmd and watchdog, then servers, then services; each group waits until the previous one is healthy."""
        for stages in ((Stage.FOUNDATION,), (Stage.SERVERS,), (Stage.SERVICE, Stage.WORKERS)):
            members = [program.name for program in chosen if program.stage in stages]
            for name in members:
                await asyncio.to_thread(self._supervisor.start_program, name)
            await self._health().wait_all(members)

    def _health(self) -> Health:
        return Health(
            self._supervisor,
            ports=self._ports,
            settings=self.environment,
            logs=self.home.logs,
            report=self._report,
        )

    def _write_state(self) -> None:
        state = StackState(
            url=self.url,
            api_key=self.api_key,
            environment=self.environment,
            pids=self.pids,
            supervisor_pid=self._supervisor.pid() or 0,
            started_at=time.time_ns() // 1_000_000,
        )
        write_private(self.home.stack_file, msgspec.json.encode(state))

    async def _stop_all(self) -> None:
        """Stop everything, including what a crash left: a half-started stack, a dying supervisor, orphans."""
        self.home.stack_file.unlink(missing_ok=True)
        with contextlib.suppress(SupervisorGone):
            await asyncio.to_thread(self._supervisor.stop_restarting)
            for stage in Stage:
                await self._stop_stage(stage)
        pid = await asyncio.to_thread(self._supervisor.pid)
        await asyncio.to_thread(self._supervisor.shut_down)
        await self._wait_for_end(pid)
        await asyncio.to_thread(kill_orphans, self.home.root)

    async def _stop_stage(self, stage: Stage) -> None:
        names = [name for name in await asyncio.to_thread(self.processes) if programs.stage_of(name) is stage]
        for name in names:
            await asyncio.to_thread(self._supervisor.stop_program, name)
        while True:
            states = await asyncio.to_thread(self.processes)
            if all(states[name].has_ended for name in names):
                return
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _wait_for_end(self, pid: int | None) -> None:
        deadline = time.monotonic() + SHUTDOWN_WITHIN_S
        while pid and is_alive(pid):
            await asyncio.sleep(POLL_INTERVAL_S)
            if time.monotonic() > deadline:
                await asyncio.to_thread(self._supervisor.kill)
        self._supervisor.has_child_ended()


def listeners_of(parts: Sequence[str]) -> tuple[str, ...]:
    """Names of the ports that these parts use; the broker has three, the workers none."""
    known = {"rabbitmq": ("rabbitmq", "epmd", "distribution"), "workers": ()}
    return tuple(name for part in parts for name in known.get(part, (part,)))
