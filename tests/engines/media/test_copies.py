"""Copies: what each container holds, and what is copied when only the container changes (behaviour M10)."""

from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import BadOptions
from converto_engines.media.video import Video
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import (
    FAST,
    QUICK,
    SOUND,
    decoded_pictures,
    ffmpeg,
    frame_times,
    lavfi,
    probed,
    scratched,
    streams,
    tone,
)

SOURCES: dict[str, tuple[str, list[Any]]] = {
    "h264 in mp4": ("mp4", [*FAST, *SOUND]),
    "h264 in mkv": ("mkv", [*FAST, *SOUND]),
    "hevc in mkv": ("mkv", ["-c:v", "libx265", "-x265-params", "log-level=error", *SOUND]),
    "h264 of ten bits in mkv": ("mkv", ["-c:v", "libx264", "-pix_fmt", "yuv420p10le", *SOUND]),
    "vp8 in webm": ("webm", ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"]),
    "vp9 in mkv": ("mkv", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"]),
}
DEFAULTS = [
    ("vp8 in webm", "mkv", ("vp8", "vorbis"), True),
    ("vp8 in webm", "mp4", ("h264", "aac"), False),
    ("vp9 in mkv", "webm", ("vp9", "opus"), True),
    ("h264 in mp4", "mkv", ("h264", "aac"), True),
    ("h264 in mp4", "mov", ("h264", "aac"), True),
    ("h264 in mp4", "mp4", ("h264", "aac"), False),
    ("h264 in mp4", "webm", ("vp9", "opus"), False),
    ("h264 in mkv", "mp4", ("h264", "aac"), True),
    ("hevc in mkv", "mp4", ("h264", "aac"), False),
    ("h264 of ten bits in mkv", "mp4", ("h264", "aac"), False),
]


@pytest.mark.parametrize(("name", "target", "codecs", "is_copied"), DEFAULTS)
async def test_change_of_container_copies_what_its_players_play(
    video: Video, run_job: RunJob, folder: Path, name: str, target: str, codecs: tuple[str, str], is_copied: bool
) -> None:
    path = source(folder, name)

    (product,) = await run_job(video, path, path.suffix[1:], target)

    assert tuple(stream["codec_name"] for stream in (await probed(product.path))["streams"]) == codecs
    assert (decoded_pictures(product.path) == decoded_pictures(path)) == is_copied


@pytest.mark.parametrize("options", [{"width": 48}, {"quality": 30}, {"end_s": 0.5}, {"preset": "fast"}, {"fps": 5}])
async def test_options_that_change_pictures_are_followed(
    video: Video, run_job: RunJob, folder: Path, options: dict[str, Any]
) -> None:
    path = source(folder, "h264 in mkv")

    (product,) = await run_job(video, path, "mkv", "mp4", **options)

    assert decoded_pictures(product.path) != decoded_pictures(path)


async def test_failing_copy_nobody_asked_for_is_encoded(video: Video, run_job: RunJob, folder: Path) -> None:
    path, notes = scratched(folder / "scratched.mkv"), []

    (product,) = await run_job(video, path, "mkv", "mp4", note=notes.append)

    assert len(frame_times(product.path)) >= 198
    assert len(notes) == 1
    assert "damaged" in notes[0]


def source(folder: Path, name: str) -> Path:
    kind, encode = SOURCES[name]
    path = folder / f"{name.replace(' ', '-')}.{kind}"
    if not path.exists():
        ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=1", tone(440, seconds=1)), *encode, path)
    return path


HELD_VIDEO = {
    "h264": (["libx264", "-pix_fmt", "yuv420p"], {"mp4", "mov", "mkv"}),
    "hevc": (["libx265", "-x265-params", "log-level=error"], {"mp4", "mov", "mkv"}),
    "vp8": (["libvpx", "-deadline", "realtime"], {"webm", "mkv"}),
    "vp9": (["libvpx-vp9", "-deadline", "realtime"], {"mp4", "webm", "mkv"}),
    "av1": (["libsvtav1", "-preset", 12], {"mp4", "webm", "mkv"}),
    "mpeg4": (["mpeg4"], {"mp4", "mov", "mkv"}),
    "mpeg2video": (["mpeg2video"], {"mp4", "mov", "mkv"}),
    "mpeg1video": (["mpeg1video"], {"mp4", "mkv"}),
    "theora": (["libtheora"], {"mkv"}),
    "prores": (["prores_ks"], {"mov", "mkv"}),
    "mjpeg": (["mjpeg", "-pix_fmt", "yuvj420p"], {"mov", "mkv"}),
    "dnxhd": (["dnxhd", "-profile:v", "dnxhr_lb", "-pix_fmt", "yuv422p"], {"mov", "mkv"}),
    "ffv1": (["ffv1"], {"mkv"}),
}
HELD_SOUND = {
    "aac": (["aac"], {"mp4", "mov", "mkv"}),
    "mp3": (["libmp3lame"], {"mp4", "mov", "mkv"}),
    "ac3": (["ac3"], {"mp4", "mov", "mkv"}),
    "eac3": (["eac3"], {"mp4", "mov", "mkv"}),
    "alac": (["alac"], {"mp4", "mov", "mkv"}),
    "opus": (["libopus"], {"mp4", "webm", "mkv"}),
    "vorbis": (["libvorbis"], {"webm", "mkv"}),
    "flac": (["flac"], {"mp4", "mkv"}),
    "pcm_s16le": (["pcm_s16le"], {"mov", "mkv"}),
    "wmav2": (["wmav2"], {"mkv"}),
}
TARGETS = ("mp4", "mov", "webm", "mkv")


@pytest.mark.parametrize("codec", HELD_VIDEO)
async def test_pictures_are_copied_where_the_container_holds_them(
    video: Video, run_job: RunJob, folder: Path, codec: str
) -> None:
    encode, holders = HELD_VIDEO[codec]
    path = folder / f"only-{codec}.mkv"
    ffmpeg(*lavfi("testsrc2=s=256x144:r=25:d=0.4"), "-c:v", *encode, path)

    for target in TARGETS:
        assert await copied(video, run_job, path, target, video_codec="copy") == (codec if target in holders else None)


@pytest.mark.parametrize("codec", HELD_SOUND)
async def test_sound_is_copied_where_the_container_holds_it(
    video: Video, run_job: RunJob, folder: Path, codec: str
) -> None:
    encode, holders = HELD_SOUND[codec]
    path = folder / f"only-{codec}.mkv"
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=0.5", tone(440, seconds=0.5)), *FAST, "-c:a", *encode, path)

    for target in TARGETS:
        found = await copied(video, run_job, path, target, audio_codec="copy", **QUICK)
        assert found == (codec if target in holders else None), target


async def copied(video: Video, run_job: RunJob, path: Path, target: str, **options: str) -> str | None:
    """The codec of the last track of a copy; None when it is refused as not supported."""
    try:
        (product,) = await run_job(video, path, "mkv", target, **options)
    except BadOptions as error:
        assert f"{target} does not support" in str(error)
        return None
    name: str = streams(await probed(product.path), "audio" if "audio_codec" in options else "video")[0]["codec_name"]
    return name
