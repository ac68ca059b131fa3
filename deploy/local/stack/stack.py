"""The whole laptop stack as one object: start in order, wait until healthy, stop in order.

It must not know what the terminal shows, nor how a program is supervised.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from deploy.local.errors import AlreadyRunning, StartFailed, SupervisorGone
from deploy.local.home import Home, write_private
from deploy.local.stack import probes, programs
from deploy.local.stack.orphans import kill_orphans
from deploy.local.stack.ports import Ports
from deploy.local.stack.programs import Program, Stage
from deploy.local.stack.supervisor import Process, Supervisor
from deploy.local.stack.watchdog import is_alive

SERVERS = ("rabbitmq", "mongo", "s3")
EVERYTHING = (*SERVERS, "api", "workers")
LOOK_EVERY_S = 0.05
# RabbitMQ needs some four seconds on two quiet cores; a busy machine is not a fault.
HEALTHY_WITHIN_S = 90.0
SHUTDOWN_WITHIN_S = 10.0


class StackState(msgspec.Struct, frozen=True):
    """`stack.json`: how others reach a healthy stack. It holds the key and all secrets, so only its owner reads it."""

    url: str
    api_key: str
    environment: dict[str, str]
    pids: dict[str, int]
    supervisor_pid: int
    started_at: int


class Stack:
    """One stack in one state folder. Another process may build the same object to stop it or to look at it.

    `settings` are CONVERTO_… variables for the services. `is_watched` ties the stack's life to this process.
    `report` hears of each part that became healthy, with the seconds it took.
    """

    def __init__(
        self,
        home: Path | Home,
        *,
        ports: Ports | None = None,
        workers: int | None = None,
        settings: Mapping[str, str] | None = None,
        is_watched: bool = True,
        report: Callable[[str, float], None] | None = None,
    ) -> None:
        self.home = home if isinstance(home, Home) else Home(home)
        self.home.create()
        self._ports = ports or Ports.from_environment(os.environ)
        self._worker_count = workers or os.cpu_count() or 1
        self._secrets = self.home.secrets()
        self._settings = dict(settings or {})
        self._is_guarded = is_watched
        self._report = report or (lambda name, seconds: None)
        self._supervisor = Supervisor(self.home)

    @property
    def environment(self) -> dict[str, str]:
        """All CONVERTO_… variables of the services, secrets included."""
        return programs.service_environment(self.home, self._ports, self._secrets, os.environ) | self._settings

    @property
    def url(self) -> str:
        """Where the file service answers."""
        return f"http://127.0.0.1:{self._ports.api}"

    @property
    def api_key(self) -> str:
        """The key that the file service accepts from its first start on."""
        return self._secrets.api_key

    @property
    def pids(self) -> dict[str, int]:
        """Running programs by name; raises `SupervisorGone`."""
        return {name: process.pid for name, process in self.processes().items() if process.pid}

    def processes(self) -> dict[str, Process]:
        """What the supervisor says of each program; raises `SupervisorGone`."""
        return self._supervisor.processes()

    def supervisor_pid(self) -> int | None:
        """The process that holds the stack together, None when there is none."""
        return self._supervisor.pid()

    def log_of(self, name: str) -> Path:
        """Where a program's output goes."""
        return self.home.logs / f"{name}.log"

    def state(self) -> StackState | None:
        """How to reach the stack that runs in this folder; None unless it started well and still has a supervisor."""
        try:
            state = msgspec.json.decode(self.home.stack_file.read_bytes(), type=StackState)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return state if self._supervisor.pid() == state.supervisor_pid else None

    async def start(self, only: Sequence[str] = EVERYTHING) -> None:
        """Start these parts and return when each is healthy; on any failure nothing is left running.

        Raises `AlreadyRunning`, `PortInUse`, `ProgramMissing`, `StartFailed`.
        """
        async with self.home.locked():
            if running := await asyncio.to_thread(self.state):
                raise AlreadyRunning(running.url)
            await self._stop_all()
            chosen = self._programs(only)
            self._ports.check(listeners_of(only))
            try:
                await asyncio.to_thread(self._supervisor.start, chosen)
                await self._start_in_order(chosen)
                self._write_state()
            except BaseException:
                await asyncio.shield(self._stop_all())
                raise

    async def stop(self) -> None:
        """Stop everything in good order: workers, service, servers, supervisor. Does nothing when nothing runs."""
        async with self.home.locked():
            await self._stop_all()

    def kill(self, name: str) -> int:
        """SIGKILL one program and return the pid it had; the supervisor starts it again."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_everything(self) -> None:
        """End all processes of this stack at once, in no order."""
        self._supervisor.kill()
        kill_orphans(self.home.root)
        self.home.stack_file.unlink(missing_ok=True)

    async def wait_healthy(self, name: str) -> None:
        """Return when this part does its work (again); raises `StartFailed`."""
        await self._until(name, self._probe(name), is_ending_a_failure=False)

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
        return [*chosen, programs.watchdog(self.home, os.getpid())] if self._is_guarded else chosen

    async def _start_in_order(self, chosen: Sequence[Program]) -> None:
        """The ground first, then the servers, then the services side by side; each waits for what it stands on."""
        for stages in ((Stage.FOUNDATION,), (Stage.SERVERS,), (Stage.SERVICE, Stage.WORKERS)):
            members = [program.name for program in chosen if program.stage in stages]
            for name in members:
                await asyncio.to_thread(self._supervisor.start_program, name)
            await self._all_healthy(members)

    async def _all_healthy(self, names: Sequence[str]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self._until(name, self._probe(name)))
        except BaseExceptionGroup as failures:
            # The first part that failed is the one to speak of; the others were only waited for.
            raise failures.exceptions[0] from None

    async def _until(
        self, name: str, probe: Callable[[], Awaitable[None]], *, is_ending_a_failure: bool = True
    ) -> None:
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
            if is_ending_a_failure:
                await self._refuse_if_over(name)
            await asyncio.sleep(LOOK_EVERY_S)
        raise StartFailed(name, reason, self.log_of(name))

    async def _refuse_if_over(self, name: str) -> None:
        process = (await asyncio.to_thread(self.processes))[name]
        if process.is_over:
            raise StartFailed(name, f"ended while starting ({process.how_it_ended})", self.log_of(name))

    def _probe(self, name: str) -> Callable[[], Awaitable[None]]:
        settings = self.environment
        known: dict[str, Callable[[], Awaitable[None]]] = {
            "epmd": lambda: probes.ask_port(self._ports.epmd),
            "rabbitmq": lambda: probes.ask_rabbitmq(settings["CONVERTO_RABBITMQ_URL"]),
            "mongo": lambda: probes.ask_mongo(settings["CONVERTO_MONGODB_URL"]),
            "s3": lambda: probes.ask_s3(settings),
            "api": lambda: probes.ask_api(self.url),
        }
        return known.get(name) or (lambda: self._ask_process(name))

    async def _ask_process(self, name: str) -> None:
        """Workers have no port: the file service knows them. A watchdog only has to run."""
        pid = (await asyncio.to_thread(lambda: self.pids)).get(name)
        if pid is None:
            raise probes.NotHealthy("it does not run")
        if name.startswith("worker"):
            await probes.ask_worker(self.url, self.api_key, pid)

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
        """Also ends what a crash left: a half-started stack, a supervisor in its last second, orphans."""
        self.home.stack_file.unlink(missing_ok=True)
        with contextlib.suppress(SupervisorGone):
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
            if all(states[name].is_over for name in names):
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _wait_for_end(self, pid: int | None) -> None:
        deadline = time.monotonic() + SHUTDOWN_WITHIN_S
        while pid and is_alive(pid):
            await asyncio.sleep(LOOK_EVERY_S)
            if time.monotonic() > deadline:
                await asyncio.to_thread(self._supervisor.kill)
        self._supervisor.is_child_over()


def listeners_of(parts: Sequence[str]) -> tuple[str, ...]:
    """Names of the ports that these parts need; the broker has three, the workers none."""
    known = {"rabbitmq": ("rabbitmq", "epmd", "distribution"), "workers": ()}
    return tuple(name for part in parts for name in known.get(part, (part,)))
