"""The only place that starts a program: in the sandbox, with limits and a deadline, killed as a whole process group.

A non-zero exit status is a result; a limit, a signal or a deadline is an error.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec

from converto_core.errors import (
    EngineCrashed,
    EngineError,
    EngineMissing,
    EngineNotAnswering,
    EngineTimeout,
    LimitExceeded,
)
from converto_engines.converter import ANSWER_WITHIN_S, Limits
from converto_engines.runtime import sandbox
from converto_engines.runtime.child_process import ChildProcess
from converto_engines.runtime.limit_monitor import LimitMonitor, deadline
from converto_engines.runtime.output_tail import OutputTail
from converto_engines.runtime.process_tree import descendants_of, programs_in
from converto_engines.runtime.sandboxed import confine

_LINE_BYTES = 16 * 1024**2  # the longest response of a long-running program
_KILL_S = 5.0  # a killed group exits much sooner; only a process stuck in the kernel takes longer
_PROBE_LIMITS = Limits(wall_s=ANSWER_WITHIN_S, cpu_s=5, memory_bytes=512 * 1024**2, file_bytes=1024**2)
_SOCKET_PROBE = """
import socket, sys
socket.socket(socket.AF_UNIX).close()
try:
    socket.socket(socket.AF_INET).close()
except PermissionError:
    sys.exit(0)
sys.exit(1)
"""


__all__ = ["ChildProcess", "NotConfined", "ProcessResult", "Sandbox", "kill_orphans"]


class NotConfined(
    EngineError,
    code="engine_missing",
    title="The sandbox of this worker could not start the conversion program",
):
    """Raised when the sandbox itself failed, so the program never ran; it may be installed all the same."""


class ProcessResult(msgspec.Struct, frozen=True):
    """How a program ended: exit status, the last 64 KiB of each output stream, wall-clock seconds."""

    exit_code: int
    stdout: bytes
    stderr_tail: str
    wall_s: float


class Sandbox:
    """Starts confined programs. `name` is the mode, chosen once per worker: bubblewrap, seccomp or off."""

    def __init__(self, name: str) -> None:
        """Use a mode without testing it; `choose` tests that it works on this machine."""
        self.name = name

    @classmethod
    async def choose(cls, mode: str) -> "Sandbox":
        """Test the given mode, or with `auto` find the best one that works here.

        Raises `EngineMissing` when none works, and `EngineNotAnswering` when a test did not end: a slow machine is
        not one without namespaces, and a weaker mode is never chosen for that.
        """
        if mode == "off":
            return cls("off")
        for name in ("bubblewrap", "seccomp") if mode == "auto" else (mode,):
            candidate = cls(name)
            if await candidate._works():
                if name == "seccomp":
                    confine.hide_memory()
                return candidate
        raise EngineMissing(_ADVICE[mode])

    def path_inside(self, folder: Path, path: Path) -> str:
        """The path of a file in the job folder as the confined program sees it."""
        return sandbox.path_inside(self.name, folder, path)

    async def run(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        limits: Limits,
        readable: Sequence[Path] = (),
        devices: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], object] | None = None,
    ) -> ProcessResult:
        """Run a program to its end and call `on_line` for each line of stdout. Cancelling kills the whole group.

        `devices` are device files or folders of them that the program may use; missing ones are ignored.

        Raises `EngineTimeout`, `EngineCrashed`, `LimitExceeded`, `EngineMissing` or `NotConfined`.
        """
        started = time.monotonic()
        plan = _Plan(
            argv=tuple(argv),
            folder=folder,
            limits=limits,
            readable=tuple(readable),
            cpu_s=limits.cpu_s,
            devices=tuple(devices),
        )
        monitor = await LimitMonitor.create(folder, limits)
        async with self._running(plan, environment or {}) as process:
            stdout, stderr = OutputTail(on_line), OutputTail()
            with deadline(limits.wall_s):
                async with asyncio.timeout(limits.wall_s):
                    exit_code = await monitor.run(_finish(process, stdout, stderr), process.pid)
            _raise_for_signal(exit_code, limits)
            _raise_unless_confined(exit_code, stderr.text)
        return ProcessResult(exit_code, stdout.kept, stderr.text, time.monotonic() - started)

    async def start(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        limits: Limits,
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> ChildProcess:
        """Start a long-running program that speaks JSON lines; limits apply per request. Raises `EngineMissing`."""
        plan = _Plan(argv=tuple(argv), folder=folder, limits=limits, readable=tuple(readable), cpu_s=None)
        owned = AsyncExitStack()
        process = await owned.enter_async_context(self._running(plan, environment or {}))
        return ChildProcess(process, folder, limits, owned)

    @asynccontextmanager
    async def _running(self, plan: "_Plan", environment: Mapping[str, str]) -> AsyncIterator[Process]:
        """Start a program; on exit its whole process group and its temporary folder are always removed."""
        _require(plan.argv[0])
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=plan.folder))
        try:
            process = await self._spawn(plan, environment, temporary)
            try:
                yield process
            finally:
                await asyncio.shield(_kill(process))
        finally:
            await asyncio.to_thread(shutil.rmtree, temporary, ignore_errors=True)

    async def _spawn(self, plan: "_Plan", environment: Mapping[str, str], temporary: Path) -> Process:
        files = sandbox.VisibleFiles(
            folder=plan.folder, temporary=temporary, readable=plan.readable, devices=plan.devices
        )
        inner = "/tmp" if self.name == "bubblewrap" else str(temporary)  # noqa: S108 -- the sandbox's own
        variables = sandbox.environment(inner, environment)
        descriptor = _filter_descriptor() if self.name == "bubblewrap" else None
        argv = [*sandbox.limits_argv(plan.limits, cpu_s=plan.cpu_s), *self._prefix(files, variables, descriptor)]
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                *plan.argv,
                stdin=DEVNULL if plan.cpu_s is not None else PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=plan.folder,
                env=variables,
                limit=_LINE_BYTES,
                start_new_session=True,
                pass_fds=() if descriptor is None else (descriptor,),
            )
        except FileNotFoundError as error:
            raise EngineMissing(detail=f"{argv[0]}: not found") from error
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _prefix(self, files: sandbox.VisibleFiles, variables: Mapping[str, str], descriptor: int | None) -> list[str]:
        if descriptor is not None:
            return sandbox.bubblewrap_argv(files, variables, filter_descriptor=descriptor)
        return sandbox.confine_argv(files) if self.name == "seccomp" else []

    async def _works(self) -> bool:
        own_python = (Path(sys.prefix), Path(sys.base_prefix))
        argv = ["/usr/bin/true"] if self.name == "bubblewrap" else [sys.executable, "-I", "-c", _SOCKET_PROBE]
        with tempfile.TemporaryDirectory(prefix="converto-probe-") as folder:
            try:
                probe = await self.run(argv, folder=Path(folder), limits=_PROBE_LIMITS, readable=own_python)
            except (EngineMissing, EngineCrashed, NotConfined):
                return False
            except (EngineTimeout, LimitExceeded, OSError) as error:
                raise EngineNotAnswering(
                    f"The test of the sandbox ({self.name}) did not end on this machine", detail=repr(error)
                ) from error
        return probe.exit_code == 0


def kill_orphans(folder: Path) -> int:
    """Kill the programs that a dead worker process left running for this folder; return how many there were.

    Programs normally die with their parent. A parent that is killed right after a start leaves an orphan, because the
    program has not yet asked the kernel for its parent-death signal.
    """
    orphans = programs_in(folder)
    for pid in orphans:
        _kill_group(pid)
    return len(orphans)


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    argv: tuple[str, ...]
    folder: Path
    limits: Limits
    readable: tuple[Path, ...]
    cpu_s: int | None
    devices: tuple[Path, ...] = ()


async def _finish(process: Process, stdout: OutputTail, stderr: OutputTail) -> int:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(stdout.fill(process.stdout))
            group.create_task(stderr.fill(process.stderr))
            await _exit_of(process.pid)
            _kill_group(process.pid)  # descendants left behind would keep the pipes open and block `wait`
            return await process.wait()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors  # an error of `on_line`, unwrapped


async def _exit_of(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, has_exited = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, has_exited.set)
    try:
        await has_exited.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _raise_for_signal(exit_code: int, limits: Limits) -> None:
    """Both sandboxes exit with 128 + signal; without a sandbox the exit code is minus the signal."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    if number == signal.SIGXCPU:
        raise LimitExceeded(f"The conversion needed more than {limits.cpu_s} s of computing time")
    if number == signal.SIGXFSZ:
        raise LimitExceeded(f"The conversion wrote a file larger than {limits.file_bytes >> 20} MB")
    if 0 < number <= signal.SIGRTMAX:
        raise EngineCrashed(detail=f"ended by signal {number}")


def _raise_unless_confined(exit_code: int, stderr: str) -> None:
    """A failure of the sandbox itself is not the fault of the file: the program never ran."""
    by_bubblewrap = exit_code == 1 and stderr.startswith("bwrap: ")
    by_launcher = exit_code == confine.EXIT_NOT_CONFINED and stderr.startswith(confine.NOT_CONFINED)
    if by_bubblewrap or by_launcher:
        raise NotConfined(detail=stderr)


async def _kill(process: Process) -> None:
    """Kill the process group and all descendants, and wait until they are gone."""
    tree = descendants_of(process.pid) if process.returncode is None else []
    _kill_group(process.pid)
    for pid in tree:  # without a sandbox some may have left the group
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_KILL_S):
            await process.wait()
            while any(_is_running(pid) for pid in tree):  # noqa: ASYNC110 -- the kernel notifies us only of our own child
                await asyncio.sleep(0.005)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    return False


def _filter_descriptor() -> int:
    """An anonymous file with the system call filter, positioned at its start for the process that inherits it."""
    descriptor = os.memfd_create("filter")
    os.write(descriptor, confine.filter_program(keep_group=False))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _require(program: str) -> None:
    if shutil.which(program, path=sandbox.PROGRAM_PATH) is None:
        raise EngineMissing(f"The program {Path(program).name} is not installed on this worker")


_ADVICE = {
    "auto": "No sandbox works on this machine. Install the package bubblewrap and allow user namespaces, or set "
    "CONVERTO_SANDBOX=off if you accept that conversion programs run unprotected",
    "bubblewrap": "bubblewrap does not work on this machine. Install the package bubblewrap and allow user namespaces, "
    "or set CONVERTO_SANDBOX=auto",
    "seccomp": "The system call filter does not work on this machine. Install the package bubblewrap and set "
    "CONVERTO_SANDBOX=auto",
}
