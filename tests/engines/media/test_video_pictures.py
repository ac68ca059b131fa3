"""Pictures of a video with the real ffmpeg, read back with Pillow."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageSequence

from converto_core.errors import BadOptions, BadSource, CorruptSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.installed import build_converters
from converto_engines.media.video_pictures import VideoFrame, VideoGif
from converto_engines.runtime.process import Sandbox
from tests.engines.chains import run_chain
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import FAST, ffmpeg, lavfi, tone

RED, BLUE = (254, 0, 0), (0, 0, 254)
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
CODECS = {"webm": ["-c:v", "libvpx", "-deadline", "realtime"], "mpg": ["-c:v", "mpeg2video"], "avi": ["-c:v", "mpeg4"]}
CODECS |= {"wmv": ["-c:v", "wmv2"], "flv": ["-c:v", "flv1"]}


def film(folder: Path, kind: str = "mp4") -> Path:
    """One second red, one second blue, with sound."""
    path = folder / f"film.{kind}"
    if not path.exists():
        halves = lavfi("color=red:s=96x64:r=25:d=1", "color=blue:s=96x64:r=25:d=1", tone(440, rate=44100))
        graph = ["-filter_complex", "[0][1]concat[v]", "-map", "[v]", "-map", "2"]
        ffmpeg(*halves, *graph, *CODECS.get(kind, FAST), path)
    return path


def seen(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture.convert("RGB")


def middle(picture: Image.Image) -> Any:
    return picture.getpixel((picture.width // 2, picture.height // 2))


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("kind", ["mp4", "mkv", "mov", "ts", *CODECS])
async def test_frame_has_the_size_and_content_of_its_time(
    frame: VideoFrame, run_job: RunJob, folder: Path, kind: str, target: str
) -> None:
    (product,) = await run_job(frame, film(folder, kind), kind, target)

    with Image.open(product.path) as picture:
        assert (picture.format, picture.size) == (FORMATS[target], (96, 64))
    assert middle(seen(product.path)) == pytest.approx(RED, abs=20)


async def test_frame_of_the_chosen_time_is_taken(frame: VideoFrame, run_job: RunJob, folder: Path) -> None:
    (product,) = await run_job(frame, film(folder), "mp4", "png", at_s=1.5)
    (last,) = await run_job(frame, film(folder), "mp4", "png", at_s=1.96)

    assert middle(seen(product.path)) == pytest.approx(BLUE, abs=12)
    assert middle(seen(last.path)) == pytest.approx(BLUE, abs=12)
    (end,) = await run_job(frame, film(folder), "mp4", "png", at_s=1.999)
    assert middle(seen(end.path)) == pytest.approx(BLUE, abs=12)
    with pytest.raises(BadOptions, match="after the end"):
        await run_job(frame, film(folder), "mp4", "png", at_s=3.0)


async def test_chosen_width_keeps_proportions(frame: VideoFrame, run_job: RunJob, folder: Path) -> None:
    (product,) = await run_job(frame, film(folder), "mp4", "jpg", width=48)

    assert seen(product.path).size == (48, 32)


@pytest.mark.parametrize("target", ["jpg", "webp"])
async def test_lower_quality_makes_a_smaller_file(
    frame: VideoFrame, run_job: RunJob, folder: Path, target: str
) -> None:
    path = folder / "busy.mp4"
    ffmpeg(*lavfi("testsrc2=s=320x240:r=5:d=1,noise=alls=40"), *FAST, "-crf", 5, path)

    (coarse,) = await run_job(frame, path, "mp4", target, quality=10)
    (fine,) = await run_job(frame, path, "mp4", target, quality=95)

    assert coarse.path.stat().st_size < fine.path.stat().st_size / 2


async def test_frame_is_upright_with_square_pixels(frame: VideoFrame, run_job: RunJob, folder: Path) -> None:
    ffmpeg(*lavfi("color=red:s=96x64:r=25:d=1"), "-vf", "setsar=2", *FAST, folder / "wide.mp4")
    ffmpeg("-i", film(folder), "-c", "copy", "-metadata:s:v:0", "rotate=90", folder / "turned.mp4")

    (wide,) = await run_job(frame, folder / "wide.mp4", "mp4", "png")
    (turned,) = await run_job(frame, folder / "turned.mp4", "mp4", "png")

    assert seen(wide.path).size == (192, 64)
    assert seen(turned.path).size == (64, 96)


async def test_hdr_frame_is_tone_mapped(frame: VideoFrame, run_job: RunJob, folder: Path) -> None:
    path = folder / "hdr.mkv"
    colours = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"]
    params = "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    encode = ["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", params]
    # 58 % of this scale is the white of a common screen.
    ffmpeg(*lavfi("color=0x949494:s=96x64:r=5:d=1"), *encode, *colours, path)

    (product,) = await run_job(frame, path, "mkv", "png")

    assert min(middle(seen(product.path))) > 165


@pytest.mark.parametrize("kind", ["mp4", "mkv", "mov", "ts", *CODECS])
async def test_gif_keeps_length_and_content(gif: VideoGif, run_job: RunJob, folder: Path, kind: str) -> None:
    (product,) = await run_job(gif, film(folder, kind), kind, "gif")

    with Image.open(product.path) as picture:
        assert (picture.format, picture.size, picture.info["loop"]) == ("GIF", (96, 64), 0)
        frames = getattr(picture, "n_frames", 1)
        durations, colours = [], []
        for number in range(frames):
            picture.seek(number)
            durations.append(picture.info["duration"])
            colours.append(middle(picture.convert("RGB")))
    assert sum(durations) == pytest.approx(2000, abs=130)
    assert colours[0] == pytest.approx(RED, abs=25)
    assert colours[-1] == pytest.approx(BLUE, abs=25)


async def test_gif_uses_chosen_part_width_and_rate(gif: VideoGif, run_job: RunJob, folder: Path) -> None:
    path = folder / "moving.mp4"
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=3"), *FAST, path)

    (product,) = await run_job(gif, path, "mp4", "gif", start_s=1.0, end_s=2.0, width=48, fps=10)

    with Image.open(product.path) as picture:
        assert (picture.size, getattr(picture, "n_frames", 1)) == ((48, 32), 10)


async def test_long_film_becomes_a_gif_of_its_first_minute(gif: VideoGif, run_job: RunJob, folder: Path) -> None:
    path, notes = folder / "long.mp4", []
    ffmpeg(*lavfi("color=red:s=64x48:r=2:d=70"), *FAST, path)

    (product,) = await run_job(gif, path, "mp4", "gif", note=notes.append)
    (later,) = await run_job(gif, path, "mp4", "gif", start_s=66.0, note=notes.append)

    assert (length_ms(product.path), length_ms(later.path)) == (60_000, 4_000)
    assert len(notes) == 1
    assert "60 s" in notes[0]
    assert "start_s and end_s" in notes[0]
    with pytest.raises(BadOptions, match="at most 60 s"):
        await run_job(gif, path, "mp4", "gif", end_s=65.0)


def length_ms(path: Path) -> int:
    with Image.open(path) as picture:
        return sum(frame.info["duration"] for frame in ImageSequence.Iterator(picture))


@pytest.mark.parametrize("kind", ["mp4", "webm", "mkv"])
async def test_default_plan_to_gif_keeps_the_movement(
    sandbox: Sandbox, run_job: RunJob, folder: Path, kind: str
) -> None:
    converters = build_converters(sandbox, ("video", "image", "audio"))

    path = await run_chain(run_job, converters, film(folder, kind), (kind, "gif"))

    assert length_ms(path) == pytest.approx(2000, abs=130)
    with Image.open(path) as picture:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(picture)]
    assert middle(frames[0]) == pytest.approx(RED, abs=25)
    assert middle(frames[-1]) == pytest.approx(BLUE, abs=25)


async def test_gif_ends_with_the_pictures_not_the_sound(gif: VideoGif, run_job: RunJob, folder: Path) -> None:
    path = folder / "long-sound.mp4"
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=2", tone(440, seconds=6)), *FAST, path)

    (product,) = await run_job(gif, path, "mp4", "gif")

    assert length_ms(product.path) == pytest.approx(2000, abs=130)


async def test_source_without_picture_is_refused(
    gif: VideoGif, frame: VideoFrame, run_job: RunJob, folder: Path
) -> None:
    ffmpeg(*lavfi(tone(440)), "-c:a", "aac", folder / "blind.mp4")

    for converter, target in ((gif, "gif"), (frame, "png")):
        with pytest.raises(BadSource, match="no readable video"):
            await run_job(converter, folder / "blind.mp4", "mp4", target)


@pytest.mark.parametrize("content", [b"", b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", b"\0" * 5000])
async def test_broken_source_is_refused(
    gif: VideoGif, frame: VideoFrame, run_job: RunJob, tmp_path: Path, content: bytes
) -> None:
    """I13."""
    (tmp_path / "a.mp4").write_bytes(content)

    for converter, target in ((gif, "gif"), (frame, "png")):
        with pytest.raises(CorruptSource):
            await run_job(converter, tmp_path / "a.mp4", "mp4", target)


async def test_too_large_frames_are_refused(frame: VideoFrame, run_job: RunJob, folder: Path) -> None:
    """I13."""
    with pytest.raises(SourceTooLarge, match="96 × 64"):
        await run_job(frame, film(folder), "mp4", "png", limits=Limits(wall_s=60, cpu_s=60, pixels=1000))
