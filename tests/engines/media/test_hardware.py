"""A graphics card whose test did not end is tested again (behaviour M10)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import EngineTimeout
from converto_engines.converter import Job, Limits, NoOptions, ignore_report
from converto_engines.media.ffmpeg import Ffmpeg, FfmpegFailed, RunResult
from converto_engines.media.hardware import Hardware, HardwareEncoder
from converto_engines.runtime.process import Sandbox

CARD = HardwareEncoder(name="vaapi", encoder="h264_vaapi", devices=())
WORKS = RunResult(duration_s=0.2, frames=5, log="")


class ScriptedFfmpeg(Ffmpeg):
    """Answers each run with the next outcome and records the limits."""

    def __init__(self, *outcomes: RunResult | Exception) -> None:
        super().__init__(Sandbox("off"))
        self.outcomes, self.limits = list(outcomes), list[Limits]()

    async def run(self, job: Job, arguments: Sequence[str], **_how: Any) -> RunResult:
        self.limits.append(job.limits)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Machine:
    """A machine with one card, and a clock that the test advances."""

    def __init__(self, *outcomes: RunResult | Exception) -> None:
        self.ffmpeg, self.now_s = ScriptedFfmpeg(*outcomes), 100.0
        self.hardware = Hardware(self.ffmpeg, lambda _codec: [CARD], clock=lambda: self.now_s)

    async def find(self, folder: Path) -> HardwareEncoder | None:
        job = Job(
            source=folder / "a.mp4",
            source_format="mp4",
            target_format="mkv",
            folder=folder,
            options=NoOptions(),
            limits=Limits(),
            report=ignore_report,
        )
        return await self.hardware.find("h264", job)


@pytest.mark.parametrize("silence", [EngineTimeout(), BlockingIOError(11, "fork")])
async def test_card_whose_test_did_not_end_is_asked_again(silence: Exception, tmp_path: Path) -> None:
    machine = Machine(silence, WORKS)
    first = await machine.find(tmp_path)
    at_once = await machine.find(tmp_path)
    machine.now_s += 61

    assert (first, at_once) == (None, None)
    assert await machine.find(tmp_path) == await machine.find(tmp_path) == CARD
    assert machine.ffmpeg.outcomes == []


async def test_card_that_cannot_encode_is_asked_once(tmp_path: Path) -> None:
    machine = Machine(FfmpegFailed(detail="exit status 1"))
    await machine.find(tmp_path)
    machine.now_s += 3600

    assert await machine.find(tmp_path) is None


async def test_test_of_a_card_costs_a_video_little_time(tmp_path: Path) -> None:
    machine = Machine(WORKS)
    await machine.find(tmp_path)

    assert machine.ffmpeg.limits[0].wall_s <= 20
