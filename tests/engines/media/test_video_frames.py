"""Frames of unusual videos: variable rate, rotation, odd sizes, HDR, interlacing, RGB, transparency (behaviour M10)."""

import struct
from pathlib import Path

import pytest

from converto_core.errors import (
    BadOptions,
)
from converto_engines.media.video import Video
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import (
    FAST,
    PATTERN,
    QUICK,
    SUBTITLES,
    colour,
    ffmpeg,
    first_frame,
    frame_times,
    lavfi,
    probed,
    streams,
    tone,
)


@pytest.mark.parametrize("target", ["mp4", "mkv", "webm"])
async def test_variable_rate_frames_keep_their_timestamps(
    video: Video, run_job: RunJob, folder: Path, target: str
) -> None:
    """M10: variable frame rate."""
    path = folder / "unsteady.mp4"
    ffmpeg(*lavfi("testsrc2=s=96x64:r=50:d=2"), "-vf", "select='not(mod(n*n,7))'", "-fps_mode", "vfr", *FAST, path)

    (product,) = await run_job(video, path, "mp4", target, **QUICK)

    tolerance_s = 0.0001 if target == "mp4" else 0.00101
    assert frame_times(product.path) == pytest.approx(frame_times(path), abs=tolerance_s)


async def test_rotated_video_becomes_upright(video: Video, run_job: RunJob, folder: Path) -> None:
    """M10: rotation."""
    flat, path = folder / "flat.mp4", folder / "turned.mp4"
    ffmpeg(*lavfi("color=red:s=96x64:r=25:d=1"), "-vf", "drawbox=0:0:48:64:blue:fill", *FAST, flat)
    ffmpeg("-i", flat, "-c", "copy", "-metadata:s:v:0", "rotate=90", path)

    (product,) = await run_job(video, path, "mp4", "mkv", **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert (stream["width"], stream["height"]) == (64, 96)
    assert colour(product.path, 0.5, 0.5, 0.1) == pytest.approx(colour(path, 0.5, 0.5, 0.1), abs=12)
    with pytest.raises(BadOptions, match="rotation by"):
        await run_job(video, path, "mp4", "mkv", video_codec="copy")


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
async def test_odd_size_repeats_one_row_and_loses_none(video: Video, run_job: RunJob, folder: Path, codec: str) -> None:
    path = folder / "odd.mkv"
    ffmpeg(*lavfi("testsrc=s=97x65:r=25:d=1,drawbox=0:0:97:65:red:fill"), "-c:v", "ffv1", path)

    (product,) = await run_job(video, path, "mkv", "mkv", video_codec=codec, **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert (stream["width"], stream["height"]) == (98, 66)
    pixels = ffmpeg("-i", product.path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    assert tuple(pixels[-3:]) == pytest.approx((254, 0, 0), abs=16)


async def test_hdr_metadata_and_ten_bits_stay(video: Video, run_job: RunJob, folder: Path) -> None:
    """M10: HDR metadata."""
    path = folder / "hdr.mkv"
    screen = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    named = "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    params = f"{named}:master-display={screen}:max-cll=1000,400"
    colours = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"]
    encode = ["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", params]
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=1"), *encode, *colours, path)

    (product,) = await run_job(video, path, "mkv", "mp4", video_codec="h265", **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert stream["pix_fmt"] == "yuv420p10le"
    assert (stream["color_transfer"], stream["color_primaries"]) == ("smpte2084", "bt2020")
    assert {"max_luminance=10000000/10000", "red_x=34000/50000", "max_content=1000"} <= first_frame(product.path)


async def test_interlaced_frames_are_deinterlaced_by_default(video: Video, run_job: RunJob, folder: Path) -> None:
    path = folder / "interlaced.mpg"
    weave = "testsrc2=s=96x64:r=50:d=1,scroll=h=0.06,tinterlace=interleave_top,fieldorder=tff"
    ffmpeg(*lavfi(weave), "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-b:v", "2M", path)

    (whole,) = await run_job(video, path, "mpg", "mp4", **QUICK)
    (woven,) = await run_job(video, path, "mpg", "mp4", deinterlace=False, **QUICK)

    assert len(frame_times(whole.path)) == len(frame_times(woven.path)) == len(frame_times(path))
    assert combing(whole.path) < combing(woven.path) / 1.3


def combing(path: Path) -> float:
    """How much more adjacent rows differ than rows two apart; high for interlaced frames."""
    pixels = ffmpeg("-ss", 0.4, "-i", path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    rows = [pixels[start : start + 96] for start in range(0, len(pixels), 96)]

    def difference(step: int) -> int:
        pairs = zip(rows, rows[step:], strict=False)
        return sum(abs(one - two) for above, below in pairs for one, two in zip(above, below, strict=True))

    return difference(1) / max(difference(2), 1)


async def test_sound_that_starts_late_stays_in_sync(video: Video, run_job: RunJob, folder: Path) -> None:
    """M10: start times other than zero."""
    path = folder / "late.mkv"
    late = ["-itsoffset", "5", *lavfi(PATTERN), "-itsoffset", "5.5", *lavfi(tone(440, seconds=1))]
    ffmpeg(*late, *FAST, "-c:a", "flac", "-copyts", path)

    (product,) = await run_job(video, path, "mkv", "mp4", **QUICK)

    recorded = ffmpeg(
        "-i", product.path, "-af", "aresample=async=1:first_pts=0", "-f", "s16le", "-ac", 1, "-ar", 48000, "-"
    )
    loud = struct.unpack(f"<{len(recorded) // 2}h", recorded)
    first = next(place for place, sample in enumerate(loud) if abs(sample) > 500)
    assert first / 48000 == pytest.approx(0.5, abs=0.03)
    assert len(frame_times(product.path)) == 50


async def test_rgb_source_keeps_its_colours_and_is_tagged(video: Video, run_job: RunJob, folder: Path) -> None:
    path = folder / "rgb.avi"
    ffmpeg(*lavfi("color=0x30a050:s=96x64:r=25:d=1"), "-c:v", "rawvideo", "-pix_fmt", "bgr24", path)

    (product,) = await run_job(video, path, "avi", "mp4", **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert stream["color_space"] == "bt709"
    assert colour(product.path, 0.5, 0.5, 0.5) == pytest.approx(colour(path, 0.5, 0.5, 0.5), abs=6)


async def test_webm_keeps_transparency(video: Video, run_job: RunJob, folder: Path) -> None:
    path = folder / "clear.mov"
    ffmpeg(*lavfi("color=red@0.0:s=96x64:r=25:d=1,format=rgba"), "-c:v", "qtrle", path)

    (product,) = await run_job(video, path, "mov", "webm", **QUICK)
    notes: list[str] = []
    (white,) = await run_job(video, path, "mov", "mp4", note=notes.append, **QUICK)

    seen = ffmpeg("-c:v", "libvpx-vp9", "-i", product.path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgba", "-")
    assert seen[3] < 16
    assert colour(white.path, 0.5, 0.5, 0.5) == pytest.approx((255, 255, 255), abs=4)
    assert notes == ["Left out: transparency: the background is white"]


async def test_picture_subtitles_stay_in_matroska_and_are_noted_elsewhere(
    video: Video, run_job: RunJob, folder: Path
) -> None:
    path = folder / "discs.mkv"
    (folder / "d.srt").write_text(SUBTITLES)
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=2"), *FAST, folder / "bare.mkv")
    sub = _picture_subtitle(folder)
    ffmpeg("-i", folder / "bare.mkv", "-i", sub, "-map", 0, "-map", 1, "-c", "copy", path)
    notes: list[str] = []

    (kept,) = await run_job(video, path, "mkv", "mkv", **QUICK)
    (left,) = await run_job(video, path, "mkv", "mp4", note=notes.append, **QUICK)

    assert [one["codec_name"] for one in streams(await probed(kept.path), "subtitle")] == ["hdmv_pgs_subtitle"]
    assert streams(await probed(left.path), "subtitle") == []
    assert notes == ["Left out: 1 subtitle track made of pictures"]


def _picture_subtitle(folder: Path) -> Path:
    """A Blu-ray subtitle stream of two empty compositions."""

    def segment(at_s: float, kind: int, body: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", int(at_s * 90000), 0, kind, len(body)) + body

    path = folder / "empty.sup"
    composition = struct.pack(">HHBHBBBB", 96, 64, 0x10, 0, 0x80, 0, 0, 0)
    path.write_bytes(b"".join(segment(at, 0x16, composition) + segment(at, 0x80, b"") for at in (0.2, 1.0)))
    return path
