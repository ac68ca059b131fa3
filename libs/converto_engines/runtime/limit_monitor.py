"""Monitors the resources that a running program uses and raises when it exceeds a limit. The caller kills the program.

The kernel limits apply per process and per file; this module sums up the whole process tree and the whole job folder.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from converto_core.errors import EngineTimeout, LimitExceeded
from converto_engines.converter import Limits
from converto_engines.runtime.process_tree import Usage, folder_bytes, usage_of

_Result = TypeVar("_Result")

_POLL_S = 0.25
_POLLS_PER_FOLDER_SCAN = 4  # summing up a folder of ten thousand pages takes longer
_MAX_PROCESSES = 512  # more is a fork bomb; LibreOffice is one process, ffmpeg and vips use threads


@contextmanager
def deadline(wall_s: float) -> Iterator[None]:
    """Raise a `TimeoutError` of the block as `EngineTimeout`."""
    try:
        yield
    except TimeoutError as error:
        raise EngineTimeout(f"The conversion took longer than the {wall_s:g} s allowed for one file") from error


class LimitMonitor:
    """The limits of one run or one request, and the size of the job folder before it."""

    def __init__(self, folder: Path, limits: Limits, size_before: int) -> None:
        """Use `create`, which measures the folder."""
        self._folder, self._limits, self._size_before = folder, limits, size_before

    @classmethod
    async def create(cls, folder: Path, limits: Limits) -> "LimitMonitor":
        """Measure the folder; call it before the program can write anything."""
        return cls(folder, limits, await asyncio.to_thread(folder_bytes, folder))

    async def run(self, work: Coroutine[Any, Any, _Result], pid: int) -> _Result:
        """Return the result of `work`; raises `LimitExceeded` when the tree of `pid` exceeds a limit first."""
        working = asyncio.ensure_future(work)
        polling = asyncio.create_task(self._poll(pid))
        try:
            await asyncio.wait((working, polling), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                polling.result()  # raises
            return working.result()
        finally:
            working.cancel()
            polling.cancel()
            await asyncio.gather(working, polling, return_exceptions=True)

    async def _poll(self, pid: int) -> None:
        before, polls = usage_of(pid), 0
        while True:
            await asyncio.sleep(_POLL_S)
            polls += 1
            _check(usage_of(pid), before, self._limits)
            if polls % _POLLS_PER_FOLDER_SCAN == 0:
                size = await asyncio.to_thread(folder_bytes, self._folder)
                _check_written(size - self._size_before, self._limits)


def _check(usage: Usage, before: Usage, limits: Limits) -> None:
    if usage.resident_bytes > limits.memory_bytes:
        raise LimitExceeded(f"The conversion needed more than {limits.memory_bytes >> 20} MB of memory")
    if usage.cpu_s - before.cpu_s > limits.cpu_s:
        raise LimitExceeded(f"The conversion needed more than {limits.cpu_s} s of computing time")
    if usage.processes > _MAX_PROCESSES:
        raise LimitExceeded("The conversion program started too many processes")


def _check_written(written_bytes: int, limits: Limits) -> None:
    if written_bytes > limits.file_bytes:
        raise LimitExceeded(f"The conversion wrote more than {limits.file_bytes >> 20} MB")
