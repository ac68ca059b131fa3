"""A program that stays: it answers one JSON line with one JSON line. `process.py` starts it and hands it out as this.

It knows what a question may cost, not what is asked.
"""

import asyncio
import json
from asyncio.subprocess import Process
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from converto_core.errors import EngineCrashed
from converto_engines.converter import Limits, Report, ignore_report
from converto_engines.runtime import progress_lines
from converto_engines.runtime.limit_watch import LimitWatch, deadline
from converto_engines.runtime.output_tail import OutputTail
from converto_engines.runtime.process_tree import usage_of


class Child:
    """A program that stays: one JSON line in, one JSON line out. It belongs to one slot and is asked one at a time."""

    def __init__(self, process: Process, folder: Path, limits: Limits, holder: AsyncExitStack) -> None:
        """Take over a process that `Sandbox.start` has just started, and the context that ends it."""
        self._process, self._holder = process, holder
        self._folder, self._limits = folder, limits
        self._stderr = OutputTail()
        self._listening = asyncio.create_task(self._stderr.fill(process.stderr), name=f"stderr-{process.pid}")
        self._is_stopped = False

    @property
    def pid(self) -> int:
        """The outermost process, which is also the number of the process group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """False once it has ended, by itself or by us."""
        return not self._is_stopped and self._process.returncode is None

    @property
    def stderr_tail(self) -> str:
        """The last of what it said on stderr, for the log."""
        return self._stderr.text

    def resident_bytes(self) -> int:
        """Memory of the whole process tree."""
        return usage_of(self.pid).resident_bytes

    async def ask(
        self,
        message: dict[str, Any],
        *,
        timeout_s: float,
        limits: Limits | None = None,
        report: Report = ignore_report,
    ) -> dict[str, Any]:
        """Send one line and wait for the answer; `limits` are those of the start unless given for this question.

        Lines of progress that come before the answer go to `report`.

        Raises `EngineCrashed`, `EngineTimeout` or `LimitExceeded`; the child is dead then, as it is when cancelled.
        """
        watch = await LimitWatch.begin(self._folder, limits or self._limits)
        try:
            with deadline(timeout_s):
                async with asyncio.timeout(timeout_s):
                    return await watch.over(self._exchange(message, report), self.pid)
        except BaseException:
            await self.stop(grace_s=0)  # a half-read answer would be taken for the next question's
            raise

    async def stop(self, grace_s: float = 2.0) -> None:
        """Close its input, give it `grace_s` to leave, then end its whole group. Safe to repeat."""
        if self._is_stopped:
            return
        self._is_stopped = True
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        finally:
            await self._holder.aclose()
            self._listening.cancel()

    async def _exchange(self, message: dict[str, Any], report: Report) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101 -- both are pipes
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()
            while progress_lines.pass_on(line := await self._process.stdout.readline(), report):
                continue
            answer: dict[str, Any] = json.loads(line)
        except (ConnectionError, ValueError) as error:
            raise EngineCrashed(detail=self._stderr.text) from error
        return answer
