"""Sources whose clock jumps, and edit lists: the result lasts as long as the source is shown (behaviour M10)."""

from pathlib import Path

import pytest
from PIL import Image

from converto_core.errors import SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.media.sound import Sound
from converto_engines.media.video import Video
from converto_engines.media.video_pictures import VideoFrame, VideoGif
from converto_engines.runtime.process import Sandbox
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import (
    FAST,
    QUICK,
    SOUND,
    colour,
    decoded_pictures,
    ffmpeg,
    frame_times,
    lavfi,
    probed,
    samples,
    tone,
)

RED, BLUE = (254, 0, 0), (0, 0, 254)
CLOCKS = [(0.0, 0.0), (5000.0, 0.0), (3.0, 0.0), (0.0, 3600.0)]


def joined(folder: Path, clocks: tuple[float, float]) -> Path:
    """Two recordings of two seconds in one file, red and blue, each with its own clock."""
    path = folder / f"joined-{clocks}.ts"
    parts = []
    for at_s, paint, hertz in zip(clocks, ("red", "blue"), (440, 880), strict=True):
        part = folder / "part.ts"
        picture = lavfi(f"color={paint}:s=96x64:r=25:d=2", tone(hertz))
        ffmpeg(*picture, *FAST, *SOUND, "-output_ts_offset", at_s, part)
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("clocks", CLOCKS)
async def test_joined_recordings_last_as_long_as_both(
    video: Video, run_job: RunJob, folder: Path, clocks: tuple[float, float]
) -> None:
    (product,) = await run_job(video, joined(folder, clocks), "ts", "mp4", **QUICK)

    assert len(frame_times(product.path)) == pytest.approx(100, abs=2)
    assert len(samples(product.path)) / 48_000 == pytest.approx(4.0, abs=0.2)
    assert colour(product.path, 0.5, 0.5, 0.5) == pytest.approx(RED, abs=20)
    assert colour(product.path, 3.5, 0.5, 0.5) == pytest.approx(BLUE, abs=20)


async def test_joined_recordings_make_a_gif_and_a_frame(
    gif: VideoGif, frame: VideoFrame, run_job: RunJob, folder: Path
) -> None:
    path = joined(folder, (5000.0, 0.0))

    (moving,) = await run_job(gif, path, "ts", "gif")
    (still,) = await run_job(frame, path, "ts", "png", at_s=3.5)

    with Image.open(moving.path) as picture:
        assert getattr(picture, "n_frames", 1) == pytest.approx(48, abs=2)
    with Image.open(still.path) as picture:
        assert picture.convert("RGB").getpixel((48, 32)) == pytest.approx(BLUE, abs=20)


async def test_sound_of_joined_recordings_is_whole(sandbox: Sandbox, run_job: RunJob, folder: Path) -> None:
    (product,) = await run_job(Sound(sandbox), joined(folder, (5000.0, 0.0)), "ts", "wav")

    assert len(samples(product.path)) / 48_000 == pytest.approx(4.0, abs=0.2)


async def test_limit_of_length_counts_what_is_there(video: Video, run_job: RunJob, folder: Path) -> None:
    path = joined(folder, (5000.0, 0.0))

    with pytest.raises(SourceTooLarge, match="lasts 4 s; at most 3 s"):
        await run_job(video, path, "ts", "mp4", limits=Limits(wall_s=60, cpu_s=60, duration_s=3))


@pytest.fixture(scope="session")
def trimmed(folder: Path) -> Path:
    """Two blue seconds that are shown, after two and a half red ones that an edit list hides."""
    whole, path = folder / "untrimmed.mp4", folder / "trimmed.mp4"
    halves = lavfi("color=red:s=96x64:r=25:d=2.52", "color=blue:s=96x64:r=25:d=2.48", tone(440, seconds=5))
    graph = ["-filter_complex", "[0][1]concat[v]", "-map", "[v]", "-map", "2"]
    ffmpeg(*halves, *graph, *FAST, "-g", 500, *SOUND, whole)
    ffmpeg("-ss", 2.52, "-i", whole, "-t", 2, "-c", "copy", path)
    return path


COPY = {"video_codec": "copy", "audio_codec": "copy"}


@pytest.mark.parametrize("options", [COPY, {}])
@pytest.mark.parametrize("target", ["mkv", "mov", "mp4"])
async def test_copy_does_not_show_what_an_edit_list_hides(
    video: Video, run_job: RunJob, trimmed: Path, target: str, options: dict[str, str]
) -> None:
    notes: list[str] = []

    (product,) = await run_job(video, trimmed, "mp4", target, note=notes.append, **options)

    probe = await probed(product.path)
    assert float(probe["format"]["duration"]) == pytest.approx(2.0, abs=0.06)
    assert len(frame_times(product.path)) == pytest.approx(50, abs=1)
    assert colour(product.path, 0.0, 0.5, 0.5) == pytest.approx(BLUE, abs=20)
    assert len(samples(product.path)) / 48_000 == pytest.approx(2.0, abs=0.06)
    assert all("encoded anew" in note for note in notes)
    assert any("The video" in note and "hides 2." in note for note in notes) == (bool(options) and target == "mkv")


async def test_copy_of_an_ordinary_film_is_not_encoded(video: Video, run_job: RunJob, plain: Path) -> None:
    notes: list[str] = []

    (product,) = await run_job(video, plain, "mp4", "mkv", note=notes.append, **COPY)

    assert notes == []
    assert decoded_pictures(product.path) == decoded_pictures(plain)
