"""Each picture has a process of its own, started ahead of the job."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from converto_core.errors import EngineError
from converto_engines.converter import Limits
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import ChildProcess, Sandbox
from tests.engines.conftest import RunJob, until
from tests.engines.pictures.small_pictures import (
    opened,
)


async def test_each_picture_has_a_fresh_process_and_folder(
    sandbox: Sandbox, run_job: RunJob, png: Path, tmp_path: Path
) -> None:
    """Hostile content never shares a process with another job."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    started: list[ChildProcess] = []
    pictures = _watched_pictures(sandbox, scratch, started)

    for _ in range(3):
        await run_job(pictures, png, "png", "webp")
    await pictures.aclose()

    assert len({child.pid for child in started}) == 4
    assert not any(child.is_alive for child in started)
    assert list(scratch.iterdir()) == []


async def test_killed_prestarted_process_is_replaced(
    sandbox: Sandbox, run_job: RunJob, png: Path, tmp_path: Path
) -> None:
    started: list[ChildProcess] = []
    pictures = _watched_pictures(sandbox, tmp_path, started)
    await run_job(pictures, png, "png", "webp")
    await until(lambda: len(started) == 2)
    os.killpg(started[1].pid, signal.SIGKILL)
    await until(lambda: not started[1].is_alive)

    products = await run_job(pictures, png, "png", "jpg")
    await pictures.aclose()

    assert opened(products[0].path).size == (120, 80)


async def test_other_limits_get_a_process_of_their_own(
    sandbox: Sandbox, run_job: RunJob, png: Path, tmp_path: Path
) -> None:
    started: list[ChildProcess] = []
    pictures = _watched_pictures(sandbox, tmp_path, started)
    await run_job(pictures, png, "png", "tiff")

    with pytest.raises(EngineError):
        await run_job(pictures, png, "png", "tiff", limits=Limits(file_bytes=64))
    await pictures.aclose()


async def test_cancelled_job_ends_its_process(sandbox: Sandbox, run_job: RunJob, tmp_path: Path) -> None:
    Image.effect_noise((3000, 3000), 60).save(tmp_path / "large.png", compress_level=1)
    started: list[ChildProcess] = []
    reported = asyncio.Event()
    pictures = _watched_pictures(sandbox, tmp_path, started)
    job = asyncio.create_task(
        run_job(pictures, tmp_path / "large.png", "png", "avif", report=lambda *_: reported.set())
    )
    await asyncio.wait_for(reported.wait(), 20)

    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert not started[0].is_alive
    await pictures.aclose()


def _watched_pictures(sandbox: Sandbox, scratch: Path, started: list[ChildProcess]) -> Pictures:
    class Watched(Sandbox):
        async def start(self, argv: Sequence[str], **how: Any) -> ChildProcess:
            child = await super().start(argv, **how)
            started.append(child)
            return child

    return Pictures(Watched(sandbox.name), scratch=scratch)
