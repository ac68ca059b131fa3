"""A long-running program that answers one line of JSON on stdin with one line of JSON on stdout."""

import asyncio
import json
from asyncio.subprocess import Process
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from converto_core.errors import EngineCrashed
from converto_engines.converter import Limits, Report, ignore_report
from converto_engines.runtime import progress_lines
from converto_engines.runtime.limit_monitor import LimitMonitor, deadline
from converto_engines.runtime.output_tail import OutputTail
from converto_engines.runtime.process_tree import usage_of


class ChildProcess:
    """A running program, started by `Sandbox.start`. It belongs to one slot and serves one request at a time."""

    def __init__(self, process: Process, folder: Path, limits: Limits, owned: AsyncExitStack) -> None:
        """Take over a process that `Sandbox.start` has just started; closing `owned` kills it."""
        self._process, self._owned = process, owned
        self._folder, self._limits = folder, limits
        self._stderr = OutputTail()
        self._stderr_reader = asyncio.create_task(self._stderr.fill(process.stderr), name=f"stderr-{process.pid}")
        self._is_stopped = False

    @property
    def pid(self) -> int:
        """The outermost process, which is also the number of the process group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """False once the process has exited or was stopped."""
        return not self._is_stopped and self._process.returncode is None

    @property
    def stderr_tail(self) -> str:
        """The last 64 KiB of stderr, for the log."""
        return self._stderr.text

    def resident_bytes(self) -> int:
        """Resident memory of the whole process tree."""
        return usage_of(self.pid).resident_bytes

    async def request(
        self,
        message: dict[str, Any],
        *,
        timeout_s: float,
        limits: Limits | None = None,
        report: Report = ignore_report,
    ) -> dict[str, Any]:
        """Send one request and return the response; progress lines before the response go to `report`.

        `limits` replaces the limits of the start for this request.

        Raises `EngineCrashed`, `EngineTimeout` or `LimitExceeded`. The process is stopped then, and when cancelled.
        """
        monitor = await LimitMonitor.create(self._folder, limits or self._limits)
        try:
            with deadline(timeout_s):
                async with asyncio.timeout(timeout_s):
                    return await monitor.run(self._exchange(message, report), self.pid)
        except BaseException:
            await self.stop(grace_s=0)  # the rest of this response would be read as the response to the next request
            raise

    async def stop(self, grace_s: float = 2.0) -> None:
        """Close stdin, wait up to `grace_s` for the exit, then kill the process group. Safe to repeat."""
        if self._is_stopped:
            return
        self._is_stopped = True
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        finally:
            await self._owned.aclose()
            self._stderr_reader.cancel()

    async def _exchange(self, message: dict[str, Any], report: Report) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101 -- both are pipes
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()
            while progress_lines.forward(line := await self._process.stdout.readline(), report):
                continue
            response: dict[str, Any] = json.loads(line)
        except (ConnectionError, ValueError) as error:
            raise EngineCrashed(detail=self._stderr.text) from error
        return response
