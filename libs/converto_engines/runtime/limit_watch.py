"""Watches what a running program uses and stops waiting for it when it passes a limit. It ends nothing itself.

The kernel's limits hold for one process and one file; this looks at the whole tree and the whole folder.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from converto_core.errors import EngineTimeout, LimitExceeded
from converto_engines.converter import Limits
from converto_engines.runtime.process_tree import Usage, folder_bytes, usage_of

_Answer = TypeVar("_Answer")

_POLL_S = 0.25
_LOOKS_PER_FOLDER_LOOK = 4  # a folder of ten thousand pages takes longer to add up
_MAX_PROCESSES = 512  # more is a fork bomb; LibreOffice is one process, ffmpeg and vips use threads


@contextmanager
def deadline(wall_s: float) -> Iterator[None]:
    """Say a passed deadline as `EngineTimeout`."""
    try:
        yield
    except TimeoutError as error:
        raise EngineTimeout(f"The conversion took longer than the {wall_s:g} s allowed for one file") from error


class LimitWatch:
    """The limits of one run or one question, and how full the folder was before it."""

    def __init__(self, folder: Path, limits: Limits, size_before: int) -> None:
        """`begin` is the way in; it measures the folder."""
        self._folder, self._limits, self._size_before = folder, limits, size_before

    @classmethod
    async def begin(cls, folder: Path, limits: Limits) -> "LimitWatch":
        """To be called before the program can write anything."""
        return cls(folder, limits, await asyncio.to_thread(folder_bytes, folder))

    async def over(self, work: Coroutine[Any, Any, _Answer], pid: int) -> _Answer:
        """The result of `work`; raises `LimitExceeded` when the program passes a limit first."""
        doing = asyncio.ensure_future(work)
        watching = asyncio.create_task(self._look_until_passed(pid))
        try:
            await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                watching.result()  # raises
            return doing.result()
        finally:
            doing.cancel()
            watching.cancel()
            await asyncio.gather(doing, watching, return_exceptions=True)

    async def _look_until_passed(self, pid: int) -> None:
        before, looks = usage_of(pid), 0
        while True:
            await asyncio.sleep(_POLL_S)
            looks += 1
            _check(usage_of(pid), before, self._limits)
            if looks % _LOOKS_PER_FOLDER_LOOK == 0:
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
