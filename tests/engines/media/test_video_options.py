"""Options of a video: quality, bitrates, preset, size, rate, part (behaviour M10), and hardware."""

from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import (
    BadOptions,
    BadSource,
)
from converto_engines.media.hardware import HardwareEncoder
from converto_engines.media.video import Video
from converto_engines.runtime.process import Sandbox
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import (
    FAST,
    PATTERN,
    QUICK,
    SOUND,
    colour,
    ffmpeg,
    frame_times,
    lavfi,
    pitch,
    probed,
    samples,
    streams,
    tone,
)

WRONG = [
    ("webm", {"video_codec": "h264"}, "is not available for webm"),
    ("webm", {"audio_codec": "aac"}, "is not available for webm"),
    ("mov", {"video_codec": "av1"}, "Choose one of h264, h265"),
    ("webm", {"video_codec": "copy"}, "webm does not support h264"),
    ("webm", {"video_codec": "av1", "audio_codec": "copy"}, "webm does not support aac"),
    ("mp4", {"video_codec": "copy", "width": 64}, "remove width"),
    ("mp4", {"video_codec": "copy", "start_s": 1.0}, "remove start_s"),
    ("mp4", {"quality": 20, "bitrate_kbps": 100}, "quality or bitrate_kbps, not both"),
    ("mp4", {"quality": 60}, "0 .best. to 51"),
    ("mp4", {"start_s": 1.5, "end_s": 1.0}, "end_s must be after"),
    ("mp4", {"start_s": 9.0}, "lasts 2.0 s"),
    ("mp4", {"preset": "hasty"}, "are not valid"),
]


@pytest.mark.parametrize(("target", "options", "message"), WRONG)
async def test_contradicting_options_are_refused(
    video: Video, run_job: RunJob, plain: Path, target: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadOptions, match=message):
        await run_job(video, plain, "mp4", target, **options)


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
async def test_worse_quality_makes_a_smaller_file(video: Video, run_job: RunJob, plain: Path, codec: str) -> None:
    """M10: CRF as an option."""
    (coarse,) = await run_job(video, plain, "mp4", "mkv", video_codec=codec, quality=50, audio="none", **QUICK)
    (fine,) = await run_job(video, plain, "mp4", "mkv", video_codec=codec, quality=10, audio="none", **QUICK)

    assert coarse.path.stat().st_size < fine.path.stat().st_size / 2


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
async def test_chosen_bitrate_is_kept(video: Video, run_job: RunJob, plain: Path, codec: str) -> None:
    """M10: bitrate as an option."""
    chosen: dict[str, Any] = {"video_codec": codec, "audio": "none", **QUICK}
    (low,) = await run_job(video, plain, "mp4", "mp4", bitrate_kbps=40, **chosen)
    (high,) = await run_job(video, plain, "mp4", "mp4", bitrate_kbps=400, **chosen)

    assert low.path.stat().st_size < high.path.stat().st_size / 1.5
    assert high.path.stat().st_size * 8 / 2 < 400_000 * 1.5


async def test_chosen_audio_bitrate_is_kept(video: Video, run_job: RunJob, plain: Path) -> None:
    (low,) = await run_job(video, plain, "mp4", "mp4", audio_bitrate_kbps=32, **QUICK)

    assert float(streams(await probed(low.path), "audio")[0]["bit_rate"]) < 48_000


async def test_preset_reaches_the_encoder(video: Video, run_job: RunJob, plain: Path) -> None:
    """M10: preset as an option; x264 writes its settings into the stream."""
    (fast,) = await run_job(video, plain, "mp4", "mp4", preset="ultrafast")
    (slow,) = await run_job(video, plain, "mp4", "mp4", preset="slow")

    assert b"subme=0" in fast.path.read_bytes()
    assert b"subme=8" in slow.path.read_bytes()


SIZES = [
    ({"width": 48}, (48, 32)),
    ({"height": 32}, (48, 32)),
    ({"width": 48, "height": 48}, (48, 32)),
    ({"width": 50}, (50, 34)),
    ({"width": 192}, (192, 128)),
]


@pytest.mark.parametrize(("options", "size"), SIZES)
async def test_chosen_size_keeps_proportions_and_is_even(
    video: Video, run_job: RunJob, plain: Path, options: dict[str, int], size: tuple[int, int]
) -> None:
    """M10: scale as an option."""
    (product,) = await run_job(video, plain, "mp4", "mp4", **options, **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert (stream["width"], stream["height"]) == size


async def test_chosen_fps_gives_that_many_frames(video: Video, run_job: RunJob, plain: Path) -> None:
    (product,) = await run_job(video, plain, "mp4", "mp4", fps=10, **QUICK)

    assert len(frame_times(product.path)) == 20


@pytest.mark.parametrize("kind", ["mp4", "ts"])
async def test_only_frames_and_sound_of_the_chosen_part_remain(
    video: Video, run_job: RunJob, folder: Path, kind: str
) -> None:
    path = folder / f"two-halves.{kind}"
    halves = ["color=red:s=96x64:r=25:d=1", "color=blue:s=96x64:r=25:d=1", tone(440, seconds=1), tone(880, seconds=1)]
    graph = "[0][1]concat[v];[2][3]concat=v=0:a=1[a]"
    ffmpeg(*lavfi(*halves), "-filter_complex", graph, "-map", "[v]", "-map", "[a]", *FAST, *SOUND, path)

    (product,) = await run_job(video, path, kind, "mp4", start_s=1.0, end_s=1.8, **QUICK)

    assert len(frame_times(product.path)) == pytest.approx(20, abs=1)
    assert colour(product.path, 0.0, 0.5, 0.5) == pytest.approx((0, 0, 255), abs=12)
    assert pitch(product.path, start_s=0.1) == pytest.approx(880, abs=12)
    assert len(samples(product.path)) / 48000 == pytest.approx(0.8, abs=0.05)


async def test_progress_only_grows_to_a_hundred(video: Video, run_job: RunJob, folder: Path) -> None:
    path, reports = folder / "longer.mp4", []
    ffmpeg(*lavfi("testsrc2=s=320x240:r=30:d=20", tone(440, seconds=20)), *FAST, *SOUND, path)

    await run_job(
        video, path, "mp4", "mp4", preset="slow", report=lambda percent, stage: reports.append((percent, stage))
    )

    percents = [percent for percent, _ in reports if percent is not None]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert sum(1 for percent in percents if 0 < percent < 95) >= 2


async def test_mute_video_converts_and_sound_alone_is_refused(video: Video, run_job: RunJob, folder: Path) -> None:
    ffmpeg(*lavfi(PATTERN), *FAST, folder / "mute.mp4")
    ffmpeg(*lavfi(tone(440)), *SOUND, folder / "blind.mp4")

    (product,) = await run_job(video, folder / "mute.mp4", "mp4", "webm", **QUICK)

    assert streams(await probed(product.path), "audio") == []
    with pytest.raises(BadSource, match="sound but no video"):
        await run_job(video, folder / "blind.mp4", "mp4", "mkv")


async def test_missing_hardware_falls_back_to_software_with_a_note(
    sandbox: Sandbox, run_job: RunJob, plain: Path
) -> None:
    notes: list[str] = []
    broken = HardwareEncoder(name="broken", encoder="h264_vaapi", devices=(Path("/dev/dri"),))
    video = Video(sandbox, hardware_candidates=lambda _codec: [broken])

    (product,) = await run_job(video, plain, "mp4", "mp4", hardware=True, note=notes.append, **QUICK)

    assert streams(await probed(product.path), "video")[0]["codec_name"] == "h264"
    assert notes == ["Left out: hardware encoding: this worker has no suitable graphics card"]


async def test_working_hardware_encoder_replaces_the_software_one(
    sandbox: Sandbox, run_job: RunJob, plain: Path
) -> None:
    """Another encoder of the same codec stands in for a graphics card's, so the replacement itself is real."""
    stand_in = HardwareEncoder(
        name="stand-in", encoder="libx264rgb", devices=(), upload=("format=rgb24",), quality="crf"
    )
    video = Video(sandbox, hardware_candidates=lambda _codec: [stand_in])

    (product,) = await run_job(video, plain, "mp4", "mp4", hardware=True)

    assert streams(await probed(product.path), "video")[0]["pix_fmt"] == "gbrp"
