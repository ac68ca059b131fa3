"""Videos to videos with the real ffmpeg: tracks, covers, metadata and codecs (behaviour M10)."""

from pathlib import Path
from typing import Any

import pytest

from converto_engines.media.video import Video
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import (
    FAST,
    PATTERN,
    QUICK,
    SOUND,
    SUBTITLES,
    WORDS,
    colour,
    ffmpeg,
    frame_times,
    lavfi,
    pitch,
    probed,
    streams,
    tone,
)


@pytest.fixture(scope="session")
def rich(folder: Path) -> Path:
    """Two sound tracks with languages, subtitles, chapters, metadata, a font and a cover."""
    path = folder / "rich.mkv"
    (folder / "s.srt").write_text(SUBTITLES)
    (folder / "words.txt").write_text(WORDS)
    (folder / "font.ttf").write_bytes(b"\0\1\0\0" + bytes(range(256)))
    ffmpeg(*lavfi("color=red:s=64x48:d=0.04"), "-frames:v", 1, folder / "cover.jpg")
    inputs = [*lavfi(PATTERN, tone(440), tone(880)), "-i", folder / "s.srt", "-i", folder / "words.txt"]
    maps = ["-map", 0, "-map", 1, "-map", 2, "-map", 3, "-map_metadata", 4, "-map_chapters", 4]
    languages = [
        "-metadata:s:a:0",
        "language=eng",
        "-metadata:s:a:1",
        "language=deu",
        "-metadata:s:s:0",
        "language=fra",
    ]
    font = ["-attach", folder / "font.ttf", "-metadata:s:t:0", "mimetype=application/x-truetype-font"]
    cover = ["-attach", folder / "cover.jpg", "-metadata:s:t:1", "mimetype=image/jpeg"]
    ffmpeg(*inputs, *maps, *languages, *font, *cover, *FAST, *SOUND, "-c:s", "srt", path)
    return path


SOURCES: dict[str, list[str]] = {
    "mp4": [*FAST, *SOUND],
    "mkv": [*FAST, *SOUND],
    "mov": [*FAST, *SOUND],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"],
    "avi": ["-c:v", "mpeg4", "-c:a", "libmp3lame"],
    "ts": [*FAST, *SOUND],
    "mpg": ["-c:v", "mpeg2video", "-c:a", "mp2"],
    "flv": ["-c:v", "flv1", "-c:a", "libmp3lame", "-ar", "44100"],
    "wmv": ["-c:v", "wmv2", "-c:a", "wmav2"],
}


RESULTS = {"mp4": ("h264", "aac"), "mkv": ("h264", "aac"), "mov": ("h264", "aac"), "webm": ("vp9", "opus")}


@pytest.fixture(scope="session", params=SOURCES)
def sample(request: pytest.FixtureRequest, folder: Path) -> tuple[str, Path]:
    kind: str = request.param
    path = folder / f"source.{kind}"
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=1", tone(440, seconds=1)), *SOURCES[kind], path)
    return kind, path


@pytest.mark.parametrize("target", RESULTS)
async def test_converted_video_keeps_picture_sound_and_length(
    video: Video, run_job: RunJob, sample: tuple[str, Path], target: str
) -> None:
    """M10: every kind of video into every container."""
    kind, path = sample
    (product,) = await run_job(video, path, kind, target, **QUICK)

    probe = await probed(product.path)
    assert [stream["codec_name"] for stream in probe["streams"]] == list(RESULTS[target])
    assert (probe["streams"][0]["width"], probe["streams"][0]["height"]) == (96, 64)
    assert float(probe["format"]["duration"]) == pytest.approx(1.0, abs=0.1)
    for x, y in ((0.2, 0.2), (0.8, 0.8)):
        assert colour(product.path, 0.5, x, y) == pytest.approx(colour(path, 0.5, x, y), abs=30)
    assert pitch(product.path) == pytest.approx(440, abs=8)


@pytest.mark.parametrize("target", RESULTS)
async def test_all_tracks_are_kept_or_noted_as_left_out(video: Video, run_job: RunJob, rich: Path, target: str) -> None:
    """M10: all audio tracks, subtitles, chapters and metadata."""
    notes: list[str] = []
    (product,) = await run_job(video, rich, "mkv", target, note=notes.append, **QUICK)

    found = await probed(product.path)
    sounds, subtitles = streams(found, "audio"), streams(found, "subtitle")
    assert [stream["tags"]["language"] for stream in sounds] == ["eng", "ger" if target == "mov" else "deu"]
    assert [round(pitch(product.path, track) / 440) for track in (0, 1)] == [1, 2]
    assert [stream["tags"]["language"] for stream in subtitles] == ["fra"]
    assert b"Hello there" in ffmpeg("-i", product.path, "-map", "0:s:0", "-f", "srt", "-")
    assert [chapter["tags"]["title"] for chapter in found["chapters"]] == ["One", "Two"]
    assert {name.lower(): value for name, value in found["format"]["tags"].items()}["title"] == "A film"
    left_out = {"mkv": [], "mp4": ["Left out: 1 attached file"]}
    assert notes == left_out.get(target, ["Left out: 1 cover picture", "Left out: 1 attached file"])


async def test_matroska_keeps_font_and_cover_bytes(
    video: Video, run_job: RunJob, rich: Path, folder: Path, tmp_path: Path
) -> None:
    """M10."""
    (product,) = await run_job(video, rich, "mkv", "mkv", **QUICK)

    found = await probed(product.path)
    covers = [stream for stream in streams(found, "video") if stream["disposition"]["attached_pic"]]
    assert len(covers) == 1
    ffmpeg(
        "-dump_attachment:t:0",
        tmp_path / "font",
        "-i",
        product.path,
        "-map",
        "0:v:0",
        "-frames:v",
        1,
        "-f",
        "null",
        "-",
    )
    assert (tmp_path / "font").read_bytes() == (folder / "font.ttf").read_bytes()


async def test_mp4_keeps_the_cover(video: Video, run_job: RunJob, rich: Path) -> None:
    """M10."""
    (product,) = await run_job(video, rich, "mkv", "mp4", **QUICK)

    covers = [one for one in streams(await probed(product.path), "video") if one["disposition"]["attached_pic"]]
    assert [(one["codec_name"], one["width"], one["height"]) for one in covers] == [("mjpeg", 64, 48)]


LEFT_OUT = [
    ({"audio": "none"}, lambda message: streams(message, "audio"), 0),
    ({"audio": "first"}, lambda message: streams(message, "audio"), 1),
    ({"subtitles": "none"}, lambda message: streams(message, "subtitle"), 0),
    ({"chapters": "none"}, lambda message: message["chapters"], 0),
]


@pytest.mark.parametrize(("options", "part", "count"), LEFT_OUT)
async def test_unwanted_tracks_are_left_out(
    video: Video, run_job: RunJob, rich: Path, options: dict[str, str], part: Any, count: int
) -> None:
    """M10: unless an option says otherwise."""
    (product,) = await run_job(video, rich, "mkv", "mkv", **QUICK, **options)

    assert len(part(await probed(product.path))) == count


async def test_stripping_metadata_keeps_languages_and_fonts(video: Video, run_job: RunJob, rich: Path) -> None:
    """M10."""
    (product,) = await run_job(video, rich, "mkv", "mkv", metadata="strip", **QUICK)

    probe = await probed(product.path)
    assert {name.lower() for name in probe["format"].get("tags", {})} <= {"encoder"}
    assert [stream["tags"]["language"] for stream in streams(probe, "audio")] == ["eng", "deu"]
    assert [stream["tags"]["filename"] for stream in streams(probe, "attachment")] == ["font.ttf"]


CODECS = [
    ("h264", "mp4", "h264", "avc1"),
    ("h265", "mp4", "hevc", "hvc1"),
    ("h265", "mov", "hevc", "hvc1"),
    ("h265", "mkv", "hevc", None),
    ("vp9", "mkv", "vp9", None),
    ("av1", "webm", "av1", None),
    ("av1", "mp4", "av1", "av01"),
]


@pytest.mark.parametrize(("codec", "target", "name", "tag"), CODECS)
async def test_chosen_video_codec_is_used_and_tagged_for_players(
    video: Video, run_job: RunJob, plain: Path, codec: str, target: str, name: str, tag: str | None
) -> None:
    """M10."""
    (product,) = await run_job(video, plain, "mp4", target, video_codec=codec, **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert stream["codec_name"] == name
    assert tag is None or stream["codec_tag_string"] == tag
    assert len(frame_times(product.path)) == 50


@pytest.mark.parametrize(
    ("codec", "target"),
    [
        ("mp3", "mp4"),
        ("ac3", "mkv"),
        ("opus", "mp4"),
        ("vorbis", "webm"),
        ("flac", "mkv"),
        ("flac", "mp4"),
        ("aac", "mov"),
    ],
)
async def test_chosen_audio_codec_is_used(video: Video, run_job: RunJob, plain: Path, codec: str, target: str) -> None:
    (product,) = await run_job(video, plain, "mp4", target, audio_codec=codec, **QUICK)

    assert streams(await probed(product.path), "audio")[0]["codec_name"] == codec
    assert pitch(product.path) == pytest.approx(440, abs=8)


async def test_copy_keeps_the_bytes_of_picture_and_sound(video: Video, run_job: RunJob, plain: Path) -> None:
    (product,) = await run_job(video, plain, "mp4", "mkv", video_codec="copy", audio_codec="copy")

    def packets(path: Path) -> bytes:
        return ffmpeg(
            "-i",
            path,
            "-map",
            "0:v",
            "-map",
            "0:a",
            "-c",
            "copy",
            "-bsf:v",
            "h264_mp4toannexb",
            "-f",
            "streamhash",
            "-",
        )

    assert packets(product.path) == packets(plain)
