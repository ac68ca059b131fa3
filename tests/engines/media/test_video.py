"""Videos to videos with the real ffmpeg, looked at with ffprobe and by decoded frames and sounds (behaviour M10)."""

import asyncio
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import (
    BadOptions,
    BadSource,
    ConversionError,
    CorruptSource,
    EncryptedSource,
    SourceTooLarge,
)
from converto_engines.converter import Limits
from converto_engines.media import hardware
from converto_engines.media.video import Video
from converto_engines.runtime.process import Sandbox
from tests.engines.conftest import RunJob, until
from tests.engines.media.media_files import (
    FAST,
    PATTERN,
    SUBTITLES,
    WORDS,
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

QUICK = {"preset": "ultrafast"}
SOUND = ("-c:a", "aac")


@pytest.fixture(scope="session")
async def video(sandbox: Sandbox) -> Video:
    converter = Video(sandbox)
    assert await converter.version()
    return converter


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="session")
def rich(shelf: Path) -> Path:
    """Two sound tracks with languages, subtitles, chapters, words, a font and a cover."""
    path = shelf / "rich.mkv"
    (shelf / "s.srt").write_text(SUBTITLES)
    (shelf / "words.txt").write_text(WORDS)
    (shelf / "font.ttf").write_bytes(b"\0\1\0\0" + bytes(range(256)))
    ffmpeg(*lavfi("color=red:s=64x48:d=0.04"), "-frames:v", 1, shelf / "cover.jpg")
    inputs = [*lavfi(PATTERN, tone(440), tone(880)), "-i", shelf / "s.srt", "-i", shelf / "words.txt"]
    maps = ["-map", 0, "-map", 1, "-map", 2, "-map", 3, "-map_metadata", 4, "-map_chapters", 4]
    languages = [
        "-metadata:s:a:0",
        "language=eng",
        "-metadata:s:a:1",
        "language=deu",
        "-metadata:s:s:0",
        "language=fra",
    ]
    font = ["-attach", shelf / "font.ttf", "-metadata:s:t:0", "mimetype=application/x-truetype-font"]
    cover = ["-attach", shelf / "cover.jpg", "-metadata:s:t:1", "mimetype=image/jpeg"]
    ffmpeg(*inputs, *maps, *languages, *font, *cover, *FAST, *SOUND, "-c:s", "srt", path)
    return path


@pytest.fixture(scope="session")
def plain(shelf: Path) -> Path:
    path = shelf / "plain.mp4"
    ffmpeg(*lavfi(PATTERN, tone(440)), *FAST, *SOUND, path)
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
def made(request: pytest.FixtureRequest, shelf: Path) -> tuple[str, Path]:
    kind: str = request.param
    path = shelf / f"source.{kind}"
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=1", tone(440, seconds=1)), *SOURCES[kind], path)
    return kind, path


@pytest.mark.parametrize("target", RESULTS)
async def test_video_when_converted_then_pictures_sound_and_length_are_those_of_the_source(
    video: Video, run_job: RunJob, made: tuple[str, Path], target: str
) -> None:
    """M10: every kind of video into every container."""
    kind, path = made
    (product,) = await run_job(video, path, kind, target, **QUICK)

    told = await probed(product.path)
    assert [stream["codec_name"] for stream in told["streams"]] == list(RESULTS[target])
    assert (told["streams"][0]["width"], told["streams"][0]["height"]) == (96, 64)
    assert float(told["format"]["duration"]) == pytest.approx(1.0, abs=0.1)
    for x, y in ((0.2, 0.2), (0.8, 0.8)):
        assert colour(product.path, 0.5, x, y) == pytest.approx(colour(path, 0.5, x, y), abs=30)
    assert pitch(product.path) == pytest.approx(440, abs=8)


@pytest.mark.parametrize("target", RESULTS)
async def test_tracks_when_there_are_many_then_all_are_kept_or_the_last_stage_says_what_is_not(
    video: Video, run_job: RunJob, rich: Path, target: str
) -> None:
    """M10: all audio tracks, subtitles, chapters and metadata."""
    told: list[str] = []
    (product,) = await run_job(video, rich, "mkv", target, note=told.append, **QUICK)

    found = await probed(product.path)
    sounds, subtitles = streams(found, "audio"), streams(found, "subtitle")
    assert [stream["tags"]["language"] for stream in sounds] == ["eng", "ger" if target == "mov" else "deu"]
    assert [round(pitch(product.path, track) / 440) for track in (0, 1)] == [1, 2]
    assert [stream["tags"]["language"] for stream in subtitles] == ["fra"]
    assert b"Hello there" in ffmpeg("-i", product.path, "-map", "0:s:0", "-f", "srt", "-")
    assert [chapter["tags"]["title"] for chapter in found["chapters"]] == ["One", "Two"]
    assert {name.lower(): value for name, value in found["format"]["tags"].items()}["title"] == "A film"
    left_out = {"mkv": [], "mp4": ["Left out: 1 attached file"]}
    assert told == left_out.get(target, ["Left out: 1 cover picture", "Left out: 1 attached file"])


async def test_attachments_when_the_target_is_matroska_then_font_and_cover_are_the_same_bytes(
    video: Video, run_job: RunJob, rich: Path, shelf: Path, tmp_path: Path
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
    assert (tmp_path / "font").read_bytes() == (shelf / "font.ttf").read_bytes()


async def test_cover_when_the_target_is_mp4_then_it_is_the_cover_there(
    video: Video, run_job: RunJob, rich: Path
) -> None:
    """M10."""
    (product,) = await run_job(video, rich, "mkv", "mp4", **QUICK)

    covers = [one for one in streams(await probed(product.path), "video") if one["disposition"]["attached_pic"]]
    assert [(one["codec_name"], one["width"], one["height"]) for one in covers] == [("mjpeg", 64, 48)]


LEFT_OUT = [
    ({"audio": "none"}, lambda told: streams(told, "audio"), 0),
    ({"audio": "first"}, lambda told: streams(told, "audio"), 1),
    ({"subtitles": "none"}, lambda told: streams(told, "subtitle"), 0),
    ({"chapters": "none"}, lambda told: told["chapters"], 0),
]


@pytest.mark.parametrize(("options", "part", "count"), LEFT_OUT)
async def test_part_when_not_wanted_then_gone(
    video: Video, run_job: RunJob, rich: Path, options: dict[str, str], part: Any, count: int
) -> None:
    """M10: unless told otherwise."""
    (product,) = await run_job(video, rich, "mkv", "mkv", **QUICK, **options)

    assert len(part(await probed(product.path))) == count


async def test_metadata_when_stripped_then_words_are_gone_and_languages_and_fonts_stay(
    video: Video, run_job: RunJob, rich: Path
) -> None:
    """M10."""
    (product,) = await run_job(video, rich, "mkv", "mkv", metadata="strip", **QUICK)

    told = await probed(product.path)
    assert {name.lower() for name in told["format"].get("tags", {})} <= {"encoder"}
    assert [stream["tags"]["language"] for stream in streams(told, "audio")] == ["eng", "deu"]
    assert [stream["tags"]["filename"] for stream in streams(told, "attachment")] == ["font.ttf"]


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
async def test_video_codec_when_chosen_then_used_and_named_so_that_players_know_it(
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
    [("mp3", "mp4"), ("ac3", "mkv"), ("opus", "mp4"), ("vorbis", "webm"), ("flac", "mkv"), ("aac", "mov")],
)
async def test_audio_codec_when_chosen_then_used(
    video: Video, run_job: RunJob, plain: Path, codec: str, target: str
) -> None:
    (product,) = await run_job(video, plain, "mp4", target, audio_codec=codec, **QUICK)

    assert streams(await probed(product.path), "audio")[0]["codec_name"] == codec
    assert pitch(product.path) == pytest.approx(440, abs=8)


async def test_copy_when_asked_then_pictures_and_sound_are_the_same_bytes(
    video: Video, run_job: RunJob, plain: Path
) -> None:
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


WRONG = [
    ("webm", {"video_codec": "h264"}, "webm files are not made with"),
    ("webm", {"audio_codec": "aac"}, "webm files are not made with"),
    ("mov", {"video_codec": "av1"}, "Possible: h264, h265"),
    ("webm", {"video_codec": "copy"}, "webm cannot hold h264"),
    ("webm", {"video_codec": "av1", "audio_codec": "copy"}, "webm cannot hold aac"),
    ("mp4", {"video_codec": "copy", "width": 64}, "leave out width"),
    ("mp4", {"video_codec": "copy", "start_s": 1.0}, "leave out start_s"),
    ("mp4", {"quality": 20, "bitrate_kbps": 100}, "either quality or bitrate"),
    ("mp4", {"quality": 60}, "0 .best. to 51"),
    ("mp4", {"start_s": 1.5, "end_s": 1.0}, "end_s must be after"),
    ("mp4", {"start_s": 9.0}, "lasts 2.0 s"),
    ("mp4", {"preset": "hasty"}, "do not fit"),
]


@pytest.mark.parametrize(("target", "options", "said"), WRONG)
async def test_options_when_they_contradict_then_said_before_work(
    video: Video, run_job: RunJob, plain: Path, target: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadOptions, match=said):
        await run_job(video, plain, "mp4", target, **options)


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
async def test_quality_when_worse_then_the_file_is_smaller(
    video: Video, run_job: RunJob, plain: Path, codec: str
) -> None:
    """M10: CRF as an option."""
    (coarse,) = await run_job(video, plain, "mp4", "mkv", video_codec=codec, quality=50, audio="none", **QUICK)
    (fine,) = await run_job(video, plain, "mp4", "mkv", video_codec=codec, quality=10, audio="none", **QUICK)

    assert coarse.path.stat().st_size < fine.path.stat().st_size / 2


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
async def test_bitrate_when_chosen_then_kept(video: Video, run_job: RunJob, plain: Path, codec: str) -> None:
    """M10: bitrate as an option."""
    chosen: dict[str, Any] = {"video_codec": codec, "audio": "none", **QUICK}
    (low,) = await run_job(video, plain, "mp4", "mp4", bitrate_kbps=40, **chosen)
    (high,) = await run_job(video, plain, "mp4", "mp4", bitrate_kbps=400, **chosen)

    assert low.path.stat().st_size < high.path.stat().st_size / 1.5
    assert high.path.stat().st_size * 8 / 2 < 400_000 * 1.5


async def test_audio_bitrate_when_chosen_then_kept(video: Video, run_job: RunJob, plain: Path) -> None:
    (low,) = await run_job(video, plain, "mp4", "mp4", audio_bitrate_kbps=32, **QUICK)

    assert float(streams(await probed(low.path), "audio")[0]["bit_rate"]) < 48_000


async def test_preset_when_slower_then_the_encoder_was_told(video: Video, run_job: RunJob, plain: Path) -> None:
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
async def test_size_when_chosen_then_in_shape_and_even(
    video: Video, run_job: RunJob, plain: Path, options: dict[str, int], size: tuple[int, int]
) -> None:
    """M10: scale as an option."""
    (product,) = await run_job(video, plain, "mp4", "mp4", **options, **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert (stream["width"], stream["height"]) == size


async def test_fps_when_chosen_then_frames_are_that_many(video: Video, run_job: RunJob, plain: Path) -> None:
    (product,) = await run_job(video, plain, "mp4", "mp4", fps=10, **QUICK)

    assert len(frame_times(product.path)) == 20


@pytest.mark.parametrize("kind", ["mp4", "ts"])
async def test_part_when_cut_out_then_its_frames_and_sound_and_nothing_else(
    video: Video, run_job: RunJob, shelf: Path, kind: str
) -> None:
    path = shelf / f"two-halves.{kind}"
    halves = ["color=red:s=96x64:r=25:d=1", "color=blue:s=96x64:r=25:d=1", tone(440, seconds=1), tone(880, seconds=1)]
    graph = "[0][1]concat[v];[2][3]concat=v=0:a=1[a]"
    ffmpeg(*lavfi(*halves), "-filter_complex", graph, "-map", "[v]", "-map", "[a]", *FAST, *SOUND, path)

    (product,) = await run_job(video, path, kind, "mp4", start_s=1.0, end_s=1.8, **QUICK)

    assert len(frame_times(product.path)) == pytest.approx(20, abs=1)
    assert colour(product.path, 0.0, 0.5, 0.5) == pytest.approx((0, 0, 255), abs=12)
    assert pitch(product.path, start_s=0.1) == pytest.approx(880, abs=12)
    assert len(samples(product.path)) / 48000 == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("target", ["mp4", "mkv", "webm"])
async def test_frames_when_unsteady_then_each_keeps_its_moment(
    video: Video, run_job: RunJob, shelf: Path, target: str
) -> None:
    """M10: variable frame rate."""
    path = shelf / "unsteady.mp4"
    ffmpeg(*lavfi("testsrc2=s=96x64:r=50:d=2"), "-vf", "select='not(mod(n*n,7))'", "-fps_mode", "vfr", *FAST, path)

    (product,) = await run_job(video, path, "mp4", target, **QUICK)

    tolerance_s = 0.0001 if target == "mp4" else 0.00101
    assert frame_times(product.path) == pytest.approx(frame_times(path), abs=tolerance_s)


async def test_picture_when_its_camera_was_turned_then_upright_everywhere(
    video: Video, run_job: RunJob, shelf: Path
) -> None:
    """M10: rotation."""
    flat, path = shelf / "flat.mp4", shelf / "turned.mp4"
    ffmpeg(*lavfi("color=red:s=96x64:r=25:d=1"), "-vf", "drawbox=0:0:48:64:blue:fill", *FAST, flat)
    ffmpeg("-i", flat, "-c", "copy", "-metadata:s:v:0", "rotate=90", path)

    (product,) = await run_job(video, path, "mp4", "mkv", **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert (stream["width"], stream["height"]) == (64, 96)
    assert colour(product.path, 0.5, 0.5, 0.1) == pytest.approx(colour(path, 0.5, 0.5, 0.1), abs=12)
    with pytest.raises(BadOptions, match="turned by"):
        await run_job(video, path, "mp4", "mkv", video_codec="copy")


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
async def test_size_when_odd_then_one_row_is_repeated_and_none_lost(
    video: Video, run_job: RunJob, shelf: Path, codec: str
) -> None:
    path = shelf / "odd.mkv"
    ffmpeg(*lavfi("testsrc=s=97x65:r=25:d=1,drawbox=0:0:97:65:red:fill"), "-c:v", "ffv1", path)

    (product,) = await run_job(video, path, "mkv", "mkv", video_codec=codec, **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert (stream["width"], stream["height"]) == (98, 66)
    pixels = ffmpeg("-i", product.path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    assert tuple(pixels[-3:]) == pytest.approx((254, 0, 0), abs=16)


async def test_brightness_when_hdr_then_its_figures_and_ten_bits_stay(
    video: Video, run_job: RunJob, shelf: Path
) -> None:
    """M10: HDR metadata."""
    path = shelf / "hdr.mkv"
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


def first_frame(path: Path) -> set[str]:
    """What the first frame says of itself."""
    command = ["ffprobe", "-v", "error", "-read_intervals", "%+#1", "-show_frames", str(path)]
    return set(subprocess.run(command, check=True, capture_output=True).stdout.decode().split())


async def test_frames_when_interlaced_then_made_whole_unless_told_otherwise(
    video: Video, run_job: RunJob, shelf: Path
) -> None:
    path = shelf / "interlaced.mpg"
    weave = "testsrc2=s=96x64:r=50:d=1,scroll=h=0.06,tinterlace=interleave_top,fieldorder=tff"
    ffmpeg(*lavfi(weave), "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-b:v", "2M", path)

    (whole,) = await run_job(video, path, "mpg", "mp4", **QUICK)
    (woven,) = await run_job(video, path, "mpg", "mp4", deinterlace=False, **QUICK)

    assert len(frame_times(whole.path)) == len(frame_times(woven.path)) == len(frame_times(path))
    assert combing(whole.path) < combing(woven.path) / 1.3


def combing(path: Path) -> float:
    """How much neighbouring rows differ, more than rows two apart."""
    pixels = ffmpeg("-ss", 0.4, "-i", path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    rows = [pixels[start : start + 96] for start in range(0, len(pixels), 96)]

    def difference(step: int) -> int:
        pairs = zip(rows, rows[step:], strict=False)
        return sum(abs(one - two) for above, below in pairs for one, two in zip(above, below, strict=True))

    return difference(1) / max(difference(2), 1)


async def test_sound_when_it_starts_late_then_still_in_step(video: Video, run_job: RunJob, shelf: Path) -> None:
    """M10: start times other than zero."""
    path = shelf / "late.mkv"
    late = ["-itsoffset", "5", *lavfi(PATTERN), "-itsoffset", "5.5", *lavfi(tone(440, seconds=1))]
    ffmpeg(*late, *FAST, "-c:a", "flac", "-copyts", path)

    (product,) = await run_job(video, path, "mkv", "mp4", **QUICK)

    heard = ffmpeg(
        "-i", product.path, "-af", "aresample=async=1:first_pts=0", "-f", "s16le", "-ac", 1, "-ar", 48000, "-"
    )
    loud = struct.unpack(f"<{len(heard) // 2}h", heard)
    first = next(place for place, sample in enumerate(loud) if abs(sample) > 500)
    assert first / 48000 == pytest.approx(0.5, abs=0.03)
    assert len(frame_times(product.path)) == 50


async def test_colours_when_the_source_is_rgb_then_named_and_the_same(
    video: Video, run_job: RunJob, shelf: Path
) -> None:
    path = shelf / "rgb.avi"
    ffmpeg(*lavfi("color=0x30a050:s=96x64:r=25:d=1"), "-c:v", "rawvideo", "-pix_fmt", "bgr24", path)

    (product,) = await run_job(video, path, "avi", "mp4", **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert stream["color_space"] == "bt709"
    assert colour(product.path, 0.5, 0.5, 0.5) == pytest.approx(colour(path, 0.5, 0.5, 0.5), abs=6)


async def test_transparency_when_the_target_is_webm_then_kept(video: Video, run_job: RunJob, shelf: Path) -> None:
    path = shelf / "clear.mov"
    ffmpeg(*lavfi("color=red@0.0:s=96x64:r=25:d=1,format=rgba"), "-c:v", "qtrle", path)

    (product,) = await run_job(video, path, "mov", "webm", **QUICK)
    told: list[str] = []
    await run_job(video, path, "mov", "mp4", note=told.append, **QUICK)

    seen = ffmpeg("-c:v", "libvpx-vp9", "-i", product.path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgba", "-")
    assert seen[3] < 16
    assert told == ["Left out: transparency"]


async def test_picture_subtitles_when_the_target_cannot_hold_them_then_said_and_in_matroska_kept(
    video: Video, run_job: RunJob, shelf: Path
) -> None:
    path = shelf / "discs.mkv"
    (shelf / "d.srt").write_text(SUBTITLES)
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=2"), *FAST, shelf / "bare.mkv")
    sub = _picture_subtitle(shelf)
    ffmpeg("-i", shelf / "bare.mkv", "-i", sub, "-map", 0, "-map", 1, "-c", "copy", path)
    told: list[str] = []

    (kept,) = await run_job(video, path, "mkv", "mkv", **QUICK)
    (left,) = await run_job(video, path, "mkv", "mp4", note=told.append, **QUICK)

    assert [one["codec_name"] for one in streams(await probed(kept.path), "subtitle")] == ["hdmv_pgs_subtitle"]
    assert streams(await probed(left.path), "subtitle") == []
    assert told == ["Left out: 1 subtitle track made of pictures"]


def _picture_subtitle(folder: Path) -> Path:
    """A Blu-ray subtitle stream that shows nothing, twice: composition and end segments only."""

    def segment(at_s: float, kind: int, body: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", int(at_s * 90000), 0, kind, len(body)) + body

    path = folder / "empty.sup"
    composition = struct.pack(">HHBHBBBB", 96, 64, 0x10, 0, 0x80, 0, 0, 0)
    path.write_bytes(b"".join(segment(at, 0x16, composition) + segment(at, 0x80, b"") for at in (0.2, 1.0)))
    return path


async def test_progress_when_told_then_it_only_grows_up_to_a_hundred(
    video: Video, run_job: RunJob, shelf: Path
) -> None:
    path, told = shelf / "longer.mp4", []
    ffmpeg(*lavfi("testsrc2=s=320x240:r=30:d=20", tone(440, seconds=20)), *FAST, *SOUND, path)

    await run_job(video, path, "mp4", "mp4", preset="slow", report=lambda percent, stage: told.append((percent, stage)))

    percents = [percent for percent, _ in told if percent is not None]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert sum(1 for percent in percents if 0 < percent < 95) >= 2


async def test_video_when_it_has_no_sound_or_no_picture_then_made_or_said(
    video: Video, run_job: RunJob, shelf: Path
) -> None:
    ffmpeg(*lavfi(PATTERN), *FAST, shelf / "mute.mp4")
    ffmpeg(*lavfi(tone(440)), *SOUND, shelf / "blind.mp4")

    (product,) = await run_job(video, shelf / "mute.mp4", "mp4", "webm", **QUICK)

    assert streams(await probed(product.path), "audio") == []
    with pytest.raises(BadSource, match="sound but no picture"):
        await run_job(video, shelf / "blind.mp4", "mp4", "mkv")


async def test_hardware_when_asked_for_and_not_there_then_software_and_said(
    video: Video, run_job: RunJob, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    broken = hardware.Card(name="broken", encoder="h264_vaapi", devices=(Path("/dev/dri"),))
    monkeypatch.setattr(hardware, "cards_for", lambda _codec: [broken])

    (product,) = await run_job(video, plain, "mp4", "mp4", hardware=True, note=told.append, **QUICK)

    assert streams(await probed(product.path), "video")[0]["codec_name"] == "h264"
    assert told == ["Left out: the graphics card: this worker has none for it"]


async def test_hardware_when_a_card_proves_itself_then_its_encoder_does_the_work(
    sandbox: Sandbox, run_job: RunJob, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No card here: another encoder of the same codec stands in for the card's, so the exchange itself is real."""
    card = hardware.Card(name="stand-in", encoder="libx264rgb", devices=(), upload=("format=rgb24",), quality="crf")
    monkeypatch.setattr(hardware, "cards_for", lambda _codec: [card])

    (product,) = await run_job(Video(sandbox), plain, "mp4", "mp4", hardware=True)

    assert streams(await probed(product.path), "video")[0]["pix_fmt"] == "gbrp"


LIMITS = [
    ({"duration_s": 1.0}, "lasts 2 s"),
    ({"streams": 1}, "2 tracks"),
    ({"pixels": 1000}, "96 × 64"),
]


@pytest.mark.parametrize(("limit", "said"), LIMITS)
async def test_source_when_over_a_limit_then_refused_before_work(
    video: Video, run_job: RunJob, plain: Path, limit: dict[str, Any], said: str
) -> None:
    """I13."""
    with pytest.raises(SourceTooLarge, match=said):
        await run_job(video, plain, "mp4", "mp4", limits=Limits(wall_s=60, cpu_s=60, **limit))


async def test_length_when_the_source_does_not_tell_it_then_found_and_held_to_the_limit(
    video: Video, run_job: RunJob, shelf: Path
) -> None:
    path = shelf / "live.mkv"
    path.write_bytes(ffmpeg(*lavfi(PATTERN), *FAST, "-live", 1, "-f", "matroska", "-"))

    (product,) = await run_job(video, path, "mkv", "mp4", **QUICK)

    assert len(frame_times(product.path)) == 50
    with pytest.raises(SourceTooLarge):
        await run_job(video, path, "mkv", "mp4", limits=Limits(wall_s=60, cpu_s=60, duration_s=1))


@pytest.mark.parametrize("share", [0.3, 0.8])
@pytest.mark.parametrize("kind", ["mp4", "fast.mp4", "mkv", "avi"])
async def test_source_when_its_end_is_missing_then_corrupt_and_never_a_shorter_result(
    video: Video, run_job: RunJob, shelf: Path, kind: str, share: float
) -> None:
    """I13: nothing truncated."""
    whole, cut = shelf / f"ten.{kind}", shelf / f"cut-{share}.{kind}"
    if not whole.exists():
        faststart = ["-movflags", "+faststart"] if kind == "fast.mp4" else []
        ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=10", tone(440, seconds=10)), *FAST, *SOUND, "-g", 25, *faststart, whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(CorruptSource):
        await run_job(video, cut, kind.rpartition(".")[2], "mp4", **QUICK)


async def test_source_when_a_little_damaged_then_converted_and_said(video: Video, run_job: RunJob, shelf: Path) -> None:
    whole, path, told = shelf / "eight.mp4", shelf / "scratched.mp4", []
    ffmpeg(*lavfi("testsrc2=s=160x120:r=25:d=8"), "-c:v", "libx264", "-g", 25, "-pix_fmt", "yuv420p", whole)
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 24] = b"\x55" * 24
    path.write_bytes(content)

    (product,) = await run_job(video, path, "mp4", "mp4", note=told.append, **QUICK)

    assert len(frame_times(product.path)) >= 198
    assert len(told) == 1
    assert "damaged" in told[0]


async def test_source_when_badly_damaged_then_corrupt(
    video: Video, run_job: RunJob, plain: Path, tmp_path: Path
) -> None:
    content = bytearray(plain.read_bytes())
    start = content.index(b"mdat") + 4
    content[start : start + len(content) * 2 // 3] = bytes(len(content) * 2 // 3)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(content)

    with pytest.raises(ConversionError):
        await run_job(video, path, "mp4", "mp4", **QUICK)


async def test_source_when_copy_protected_then_said(video: Video, run_job: RunJob, shelf: Path) -> None:
    path = shelf / "protected.mp4"
    key = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0" * 32, "-encryption_kid", "1" * 32]
    ffmpeg(*lavfi(PATTERN), *FAST, *key, path)

    with pytest.raises(EncryptedSource, match="DRM"):
        await run_job(video, path, "mp4", "mkv", **QUICK)


class Canary:
    """Listens where hostile playlists point to and counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.hits = self._socket.getsockname()[1], 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            self.hits += 1
            caller.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    listening = Canary()
    yield listening
    listening.close()


HOSTILE = {
    "hls": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n",
    "concat of a file": "ffconcat version 1.0\nfile '{secret}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT10S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>http://127.0.0.1:{port}/d.mp4</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", ["mp4", "avi", "ts", "mkv", "mpg", "flv", "wmv"])
@pytest.mark.parametrize("name", HOSTILE)
async def test_playlist_when_named_as_a_video_then_refused_and_nobody_is_called(
    video: Video, run_job: RunJob, tmp_path: Path, plain: Path, canary: Canary, name: str, kind: str
) -> None:
    """I13: the reader is forced, so a list of further files is never read as one."""
    path = tmp_path / f"list.{kind}"
    path.write_text(HOSTILE[name].format(port=canary.port, secret=plain))

    with pytest.raises(CorruptSource):
        await run_job(video, path, kind, "mp4", **QUICK)

    assert canary.hits == 0


def test_playlist_when_ffmpeg_runs_bare_then_it_does_call(tmp_path: Path, canary: Canary) -> None:
    """The control: without forced reader, lists of protocols and sandbox the same list is followed."""
    path = tmp_path / "list.mp4"
    path.write_text(HOSTILE["hls"].format(port=canary.port))

    with pytest.raises(Exception, match="exit status"):
        ffmpeg(
            "-protocol_whitelist",
            "file,http,tcp",
            "-allowed_extensions",
            "ALL",
            "-f",
            "hls",
            "-i",
            path,
            "-f",
            "null",
            "-",
        )

    assert canary.hits > 0


async def test_reference_when_a_quicktime_file_points_to_another_file_then_not_followed(
    video: Video, run_job: RunJob, plain: Path, tmp_path: Path
) -> None:
    """I13: a `dref` to a file of the host."""
    content = plain.read_bytes()
    place = content.index(b"url \0\0\0\1")
    path = tmp_path / "points.mov"
    target = b"file:///etc/passwd\0"
    entry = struct.pack(">I", 12 + len(target)) + b"url \0\0\0\0" + target
    path.write_bytes(content[: place - 4] + entry + content[place + 8 :])

    with pytest.raises(ConversionError):
        await run_job(video, path, "mov", "mkv", **QUICK)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["dash_http.mp4", "sdp.mp4", "png_named.mp4", "hls_http.m3u8", "bitflips.mp4"])
async def test_hostile_file_of_the_corpus_when_converted_then_refused_or_whole(
    video: Video, run_job: RunJob, corpus: Path, name: str
) -> None:
    """I13."""
    try:
        (product,) = await run_job(video, corpus / "hostile_made" / name, "mp4", "mp4", width=64, **QUICK)
    except ConversionError:
        return
    assert name == "bitflips.mp4"
    assert len(frame_times(product.path)) > 0


async def test_conversion_when_cancelled_then_ffmpeg_is_gone(video: Video, run_job: RunJob, shelf: Path) -> None:
    path = shelf / "endless.mp4"
    ffmpeg(*lavfi("testsrc2=s=320x240:r=30:d=60"), *FAST, path)
    begun = asyncio.Event()
    before = running()
    report = lambda _, stage: begun.set() if stage == "converting the video" else None  # noqa: E731
    work = asyncio.create_task(run_job(video, path, "mp4", "mp4", preset="veryslow", report=report))
    await asyncio.wait_for(begun.wait(), 30)

    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    await until(lambda: running() <= before)


def running() -> set[int]:
    """Every ffmpeg that writes a veryslow result of ours."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if b"veryslow" in line:
            found.add(int(entry.name))
    return found


async def test_offer_when_programs_are_missing_then_none(
    video: Video, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_more: None)

    assert await Video(sandbox).version() is None
