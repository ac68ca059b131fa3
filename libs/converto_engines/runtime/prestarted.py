"""One started, unused program waiting for the next job, so that a small job does not wait for a program to start.

Each process serves one job and is thrown away: hostile content never meets another job's. It knows no converter.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from converto_core.errors import ConversionError
from converto_engines.converter import Limits
from converto_engines.runtime.process import Child

Start = Callable[[Path, Limits], Awaitable[Child]]
"""Starts the program with this job folder and these limits."""


class Ready(msgspec.Struct, frozen=True):
    """A program that waits, the folder it sees, and the limits it was started with."""

    child: Child
    folder: Path
    limits: Limits

    def fits(self, limits: Limits) -> bool:
        """Whether it may serve a job of these limits; the wall clock is counted per question."""
        return self.child.is_alive and msgspec.structs.replace(self.limits, wall_s=limits.wall_s) == limits


class Prestarted:
    """Keeps one program ready after the first job has shown that there is work for it."""

    def __init__(self, start: Start, *, scratch: Path | None = None) -> None:
        """`scratch` holds the folders of waiting programs and is wiped by its owner; None: the system's own."""
        self._start, self._scratch = start, scratch
        self._coming: asyncio.Task[Ready | None] | None = None

    @asynccontextmanager
    async def lent(self, limits: Limits) -> AsyncIterator[Ready]:
        """A program for one job; whatever becomes of the job, it is thrown away then and the next one is started."""
        ready = await self._take(limits)
        try:
            yield ready
        finally:
            # Clearing away and starting anew both go on while the caller does.
            self._coming = asyncio.create_task(self._renew(ready), name="standby")

    async def aclose(self) -> None:
        """End the program that waits."""
        coming, self._coming = self._coming, None
        if coming is not None and (ready := await coming) is not None:
            await _discard(ready)

    async def _take(self, limits: Limits) -> Ready:
        """The program that waits, or a new one when none does or it has other limits."""
        coming, self._coming = self._coming, None
        ready = await coming if coming is not None else None
        if ready is not None and ready.fits(limits):
            return ready
        if ready is not None:
            await _discard(ready)
        return await self._begin(limits)

    async def _renew(self, used: Ready) -> Ready | None:
        await _discard(used)
        with suppress(ConversionError, OSError):  # the next job starts its own and tells what is wrong
            return await self._begin(used.limits)
        return None

    async def _begin(self, limits: Limits) -> Ready:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="converto-standby-", dir=self._scratch))
        try:
            return Ready(await self._start(folder, limits), folder, limits)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise


async def _discard(ready: Ready) -> None:
    try:
        await ready.child.stop()
    finally:
        await asyncio.to_thread(shutil.rmtree, ready.folder, ignore_errors=True)


def bring(source: Path, target: Path) -> None:
    """Show a file under another name: a hard link costs nothing, another disk needs a copy. Blocks on the disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
