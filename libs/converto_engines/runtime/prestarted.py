"""Keeps one process started ahead of need, so that a small job does not wait for a program to start.

Each process serves one job and is discarded afterwards: hostile content never shares a process with another job.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from converto_core.errors import ConversionError
from converto_engines.converter import Job, Limits, Report, ignore_report
from converto_engines.runtime import responses
from converto_engines.runtime.link import link_or_copy
from converto_engines.runtime.process import ChildProcess, Sandbox

Start = Callable[[Path, Limits], Awaitable[ChildProcess]]
"""Starts the program with the given job folder and limits."""


class PrestartedProcess(msgspec.Struct, frozen=True):
    """An unused process, the job folder it sees, and the limits it was started with."""

    child: ChildProcess
    folder: Path
    limits: Limits

    def fits(self, limits: Limits) -> bool:
        """Return whether it can serve a job with these limits; `wall_s` may differ because it applies per request."""
        return self.child.is_alive and msgspec.structs.replace(self.limits, wall_s=limits.wall_s) == limits

    async def convert(
        self, job: Job, product: Path, sandbox: Sandbox, *, report: Report = ignore_report, **more: Any
    ) -> dict[str, Any]:
        """Convert the source of a job; return the result and move the output, if there is one, to `product`."""
        source, output = self.folder / f"source.{job.source_format}", self.folder / product.name
        await asyncio.to_thread(link_or_copy, job.source, source)
        request = {
            "source": sandbox.path_inside(self.folder, source),
            "source_format": job.source_format,
            "output": sandbox.path_inside(self.folder, output),
            "target_format": job.target_format,
            "options": msgspec.to_builtins(job.options),
            **more,
        }
        response = await self.child.request(request, timeout_s=job.limits.wall_s, report=report)
        done = responses.result_of(response, self.child.stderr_tail)
        await asyncio.to_thread(_move_if_made, output, product)
        return done


def _move_if_made(output: Path, product: Path) -> None:
    if output.exists():
        shutil.move(output, product)


class PrestartedProgram:
    """Keeps one process of a program ready, from the end of the first job on."""

    def __init__(self, start: Start, *, scratch: Path | None = None) -> None:
        """`scratch` is the parent of the job folders, cleared by its owner; None: the system's temporary folder."""
        self._start, self._scratch = start, scratch
        self._next: asyncio.Task[PrestartedProcess | None] | None = None

    @asynccontextmanager
    async def acquire(self, limits: Limits) -> AsyncIterator[PrestartedProcess]:
        """Yield a process for one job; afterwards it is discarded, whatever the result, and the next one is started."""
        ready = await self._take(limits)
        try:
            yield ready
        finally:
            # The clean-up and the next start run in the background, so the caller does not wait for them.
            self._next = asyncio.create_task(self._replace(ready), name="standby")

    async def aclose(self) -> None:
        """Stop the waiting process."""
        pending, self._next = self._next, None
        if pending is not None and (ready := await pending) is not None:
            await _discard(ready)

    async def _take(self, limits: Limits) -> PrestartedProcess:
        """The waiting process, or a new one when there is none or its limits differ."""
        pending, self._next = self._next, None
        ready = await pending if pending is not None else None
        if ready is not None and ready.fits(limits):
            return ready
        if ready is not None:
            await _discard(ready)
        return await self._create(limits)

    async def _replace(self, used: PrestartedProcess) -> PrestartedProcess | None:
        await _discard(used)
        with suppress(ConversionError, OSError):  # the next job starts its own process and raises the error
            return await self._create(used.limits)
        return None

    async def _create(self, limits: Limits) -> PrestartedProcess:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="converto-standby-", dir=self._scratch))
        try:
            return PrestartedProcess(await self._start(folder, limits), folder, limits)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise


async def _discard(ready: PrestartedProcess) -> None:
    try:
        await ready.child.stop()
    finally:
        await asyncio.to_thread(shutil.rmtree, ready.folder, ignore_errors=True)
