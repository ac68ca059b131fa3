"""Sound to sound with the real ffmpeg, verified by pitch, level and loudness (behaviour M11, the part on sound)."""

import struct
from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import BadOptions, BadSource, ConversionError, CorruptSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.media.sound import Sound
from converto_engines.runtime.process import Sandbox
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import (
    FAST,
    decoded_hash,
    ffmpeg,
    lavfi,
    level_db,
    loudness,
    pitch,
    probed,
    samples,
    streams,
    tone,
)

CODECS = {
    "wav": "pcm_s16le",
    "flac": "flac",
    "mp3": "mp3",
    "ogg": "vorbis",
    "opus": "opus",
    "m4a": "aac",
    "aac": "aac",
}
MADE_WITH: dict[str, list[str]] = {
    "wav": [],
    "flac": [],
    "mp3": ["-c:a", "libmp3lame"],
    "ogg": ["-c:a", "libvorbis"],
    "opus": ["-c:a", "libopus"],
    "m4a": ["-c:a", "aac"],
    "aac": ["-c:a", "aac"],
    "wmv": ["-c:a", "wmav2"],
}


@pytest.fixture(scope="session")
async def sound(sandbox: Sandbox) -> Sound:
    converter = Sound(sandbox)
    assert await converter.version()
    return converter


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sounds")


@pytest.fixture(scope="session")
def wav(folder: Path) -> Path:
    path = folder / "tone.wav"
    ffmpeg(*lavfi(tone(440)), path)
    return path


@pytest.fixture(scope="session")
def noise(folder: Path) -> Path:
    """Three seconds of pink noise, which compresses badly."""
    path = folder / "noise.wav"
    ffmpeg(*lavfi("anoisesrc=d=3:r=44100:c=pink"), path)
    return path


@pytest.fixture(scope="session", params=MADE_WITH)
def sample(request: pytest.FixtureRequest, folder: Path) -> tuple[str, Path]:
    kind: str = request.param
    path = folder / f"source.{kind}"
    words = ["-metadata", "title=A song", "-metadata", "artist=Somebody"]
    ffmpeg(*lavfi(tone(440)), *MADE_WITH[kind], *words, path)
    return kind, path


@pytest.mark.parametrize("target", CODECS)
async def test_converted_sound_keeps_pitch_length_and_metadata(
    sound: Sound, run_job: RunJob, sample: tuple[str, Path], target: str
) -> None:
    """M11: every kind of sound into every other."""
    kind, path = sample
    (product,) = await run_job(sound, path, kind, target)

    probe = await probed(product.path)
    (stream,) = probe["streams"]
    assert stream["codec_name"] == CODECS[target]
    assert pitch(product.path) == pytest.approx(440, abs=6)
    played, source = (len(samples(one)) / 48000 for one in (product.path, path))
    assert played == pytest.approx(source, abs=0.045 if target == "aac" else 0.022 if target == "m4a" else 0.01)
    words = {**probe["format"].get("tags", {}), **stream.get("tags", {})}
    is_told = target != "aac" and kind != "aac"
    assert {name.lower(): value for name, value in words.items()}.get("title") == ("A song" if is_told else None)


VIDEOS = {
    "mp4": [*FAST, "-c:a", "aac"],
    "mkv": [*FAST, "-c:a", "flac"],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
    "mov": [*FAST, "-c:a", "aac"],
    "avi": ["-c:v", "mpeg4", "-c:a", "libmp3lame"],
    "ts": [*FAST, "-c:a", "aac"],
    "mpg": ["-c:v", "mpeg2video", "-c:a", "mp2"],
    "flv": ["-c:v", "flv1", "-c:a", "libmp3lame", "-ar", "44100"],
    "wmv": ["-c:v", "wmv2", "-c:a", "wmav2"],
}


@pytest.mark.parametrize("target", ["mp3", "m4a", "wav"])
@pytest.mark.parametrize("kind", VIDEOS)
async def test_sound_of_a_video_is_extracted(
    sound: Sound, run_job: RunJob, folder: Path, kind: str, target: str
) -> None:
    path = folder / f"film.{kind}"
    if not path.exists():
        ffmpeg(*lavfi("testsrc2=s=64x48:r=25:d=1", tone(440, seconds=1)), *VIDEOS[kind], path)

    (product,) = await run_job(sound, path, kind, target)

    (stream,) = (await probed(product.path))["streams"]
    assert stream["codec_name"] == CODECS[target]
    assert pitch(product.path) == pytest.approx(440, abs=6)


async def test_chosen_or_main_track_is_converted_and_others_noted(sound: Sound, run_job: RunJob, folder: Path) -> None:
    path, notes = folder / "two.mkv", []
    inputs = lavfi("testsrc2=s=64x48:r=25:d=1", tone(440, seconds=1), tone(880, seconds=1))
    ffmpeg(*inputs, "-map", 0, "-map", 1, "-map", 2, *FAST, "-c:a", "flac", path)

    (first,) = await run_job(sound, path, "mkv", "wav", note=notes.append)
    (second,) = await run_job(sound, path, "mkv", "wav", track=2)

    assert [round(pitch(one.path) / 440) for one in (first, second)] == [1, 2]
    assert notes == ["Left out: 1 more sound track"]
    with pytest.raises(BadOptions, match="not 3"):
        await run_job(sound, path, "mkv", "wav", track=3)


DEPTHS = [
    ("pcm_u8", "wav", "pcm_u8"),
    ("pcm_s16le", "wav", "pcm_s16le"),
    ("pcm_s24le", "wav", "pcm_s24le"),
    ("pcm_s32le", "wav", "pcm_s32le"),
    ("pcm_f32le", "wav", "pcm_f32le"),
    ("pcm_s16le", "flac", "flac"),
    ("pcm_s24le", "flac", "flac"),
]


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize(("depth", "target", "codec"), DEPTHS)
async def test_lossless_to_lossless_keeps_every_sample(
    sound: Sound, run_job: RunJob, folder: Path, depth: str, target: str, codec: str, rate: int
) -> None:
    """M11: depth and rate are kept exactly."""
    path = folder / f"{depth}-{rate}.wav"
    if not path.exists():
        noise = f"anoisesrc=d=0.5:r={rate}:c=pink:seed=1,aformat=sample_fmts=dbl:channel_layouts=stereo"
        ffmpeg(*lavfi(noise), "-c:a", depth, path)

    (product,) = await run_job(sound, path, "wav", target)

    (stream,) = (await probed(product.path))["streams"]
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == (codec, str(rate), 2)
    as_float = "pcm_f64le"
    assert decoded_hash(product.path, as_float) == decoded_hash(path, as_float)


async def test_24_bit_flac_becomes_24_bit_wav(sound: Sound, run_job: RunJob, folder: Path) -> None:
    path = folder / "deep.flac"
    ffmpeg(*lavfi("anoisesrc=d=0.5:r=48000:seed=2"), "-sample_fmt", "s32", path)

    (product,) = await run_job(sound, path, "flac", "wav")

    assert (await probed(product.path))["streams"][0]["codec_name"] == "pcm_s24le"
    assert decoded_hash(product.path, "pcm_s32le") == decoded_hash(path, "pcm_s32le")


@pytest.mark.parametrize("target", ["mp3", "m4a", "aac", "opus", "ogg"])
async def test_lower_bitrate_makes_a_smaller_file(sound: Sound, run_job: RunJob, noise: Path, target: str) -> None:
    (low,) = await run_job(sound, noise, "wav", target, bitrate_kbps=48)
    (high,) = await run_job(sound, noise, "wav", target, bitrate_kbps=128)

    assert low.path.stat().st_size < high.path.stat().st_size / 1.5
    assert high.path.stat().st_size * 8 / 3 == pytest.approx(128_000, rel=0.35)


@pytest.mark.parametrize("target", ["mp3", "ogg"])
async def test_lower_quality_makes_a_smaller_file(sound: Sound, run_job: RunJob, noise: Path, target: str) -> None:
    (low,) = await run_job(sound, noise, "wav", target, quality=1)
    (high,) = await run_job(sound, noise, "wav", target, quality=9)

    assert low.path.stat().st_size < high.path.stat().st_size / 1.5


async def test_chosen_rate_and_channels_are_used(sound: Sound, run_job: RunJob, wav: Path) -> None:
    (product,) = await run_job(sound, wav, "wav", "mp3", sample_rate_hz=22050, channels=2)

    (stream,) = (await probed(product.path))["streams"]
    assert (stream["sample_rate"], stream["channels"]) == ("22050", 2)
    assert pitch(product.path) == pytest.approx(440, abs=6)


@pytest.mark.parametrize("target", CODECS)
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (96000, 1), (48000, 6)])
async def test_unusual_rate_or_channels_become_the_nearest_supported(
    sound: Sound, run_job: RunJob, folder: Path, target: str, rate: int, channels: int
) -> None:
    path = folder / f"unusual-{rate}-{channels}.flac"
    if not path.exists():
        layout = {1: "mono", 6: "5.1(side)"}[channels]
        ffmpeg(*lavfi(tone(440, seconds=1, rate=rate)), "-af", f"aformat=channel_layouts={layout}", path)

    (product,) = await run_job(sound, path, "flac", target)

    (stream,) = (await probed(product.path))["streams"]
    assert stream["channels"] == (2 if target == "mp3" and channels == 6 else channels)
    assert pitch(product.path) == pytest.approx(440, abs=6)


@pytest.mark.parametrize("target", ["wav", "mp3", "opus"])
@pytest.mark.parametrize("wanted", [-23.0, -14.0])
async def test_chosen_loudness_is_measured_in_the_result(
    sound: Sound, run_job: RunJob, folder: Path, target: str, wanted: float
) -> None:
    path = folder / "quiet.wav"
    ffmpeg(*lavfi("anoisesrc=d=5:r=44100:c=pink:a=0.02"), path)

    (product,) = await run_job(sound, path, "wav", target, loudness=wanted)

    assert loudness(path) < -30
    assert loudness(product.path) == pytest.approx(wanted, abs=1.0 if target == "opus" else 0.5)
    rate = "48000" if target == "opus" else "44100"
    assert (await probed(product.path))["streams"][0]["sample_rate"] == rate


async def test_loudness_leaves_silence_silent(sound: Sound, run_job: RunJob, folder: Path) -> None:
    path = folder / "silence.wav"
    ffmpeg(*lavfi("anullsrc=d=1:r=48000"), path)

    (product,) = await run_job(sound, path, "wav", "mp3", loudness=-16.0)

    assert level_db(product.path) < -90


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4a"])
async def test_only_the_chosen_part_is_converted(sound: Sound, run_job: RunJob, folder: Path, kind: str) -> None:
    path = folder / f"halves.{kind}"
    two = lavfi(tone(440, seconds=1), tone(880, seconds=1))
    ffmpeg(*two, "-filter_complex", "[0][1]concat=v=0:a=1", *MADE_WITH[kind], path)

    (product,) = await run_job(sound, path, kind, "wav", start_s=1.1, end_s=1.8)

    assert pitch(product.path, start_s=0.1) == pytest.approx(880, abs=6)
    assert len(samples(product.path)) / 48000 == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("target", ["mp3", "flac", "m4a"])
@pytest.mark.parametrize("kind", ["mp3", "flac", "m4a"])
async def test_cover_is_kept_or_stripped(sound: Sound, run_job: RunJob, folder: Path, kind: str, target: str) -> None:
    path = folder / f"covered.{kind}"
    if not path.exists():
        ffmpeg(*lavfi("color=red:s=64x48:d=0.04"), "-frames:v", 1, folder / "cover.jpg")
        maps = ["-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic"]
        ffmpeg(*lavfi(tone(440)), "-i", folder / "cover.jpg", *maps, *MADE_WITH[kind], "-metadata", "title=A", path)

    (kept,) = await run_job(sound, path, kind, target)
    (stripped,) = await run_job(sound, path, kind, target, metadata="strip")

    (cover,) = streams(await probed(kept.path), "video")
    assert (cover["width"], cover["height"], cover["disposition"]["attached_pic"]) == (64, 48, 1)
    pixels = ffmpeg("-i", kept.path, "-map", "0:v", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    assert tuple(pixels[:3]) == pytest.approx((254, 0, 0), abs=8)
    probe = await probed(stripped.path)
    assert streams(probe, "video") == []
    assert "title" not in {name.lower() for name in probe["format"].get("tags", {})}


@pytest.mark.parametrize("target", ["ogg", "wav"])
async def test_cover_the_target_cannot_store_is_noted(sound: Sound, run_job: RunJob, folder: Path, target: str) -> None:
    path, notes = folder / "album.mp3", []
    ffmpeg(*lavfi("color=red:s=64x48:d=0.04"), "-frames:v", 1, folder / "front.jpg")
    ffmpeg(*lavfi(tone(440)), "-i", folder / "front.jpg", "-map", 0, "-map", 1, "-c:v", "copy", path)

    await run_job(sound, path, "mp3", target, note=notes.append)

    assert notes == ["Left out: the cover picture"]


WRONG = [
    ("mp3", {"quality": 5, "bitrate_kbps": 128}, "quality or bitrate_kbps, not both"),
    ("opus", {"quality": 5}, "Use bitrate_kbps for opus"),
    ("flac", {"bitrate_kbps": 128}, "flac is lossless"),
    ("mp3", {"sample_rate_hz": 96000}, "does not support 96000 Hz"),
    ("mp3", {"channels": 6}, "mp3 supports at most 2"),
    ("ogg", {"bitrate_kbps": 768, "sample_rate_hz": 8000}, "not possible with this sample rate"),
    ("mp3", {"start_s": 5.0}, "after the end"),
    ("mp3", {"end_s": 0.0}, "must be after"),
    ("mp3", {"loudness": 3.0}, "are not valid"),
]


@pytest.mark.parametrize(("target", "options", "message"), WRONG)
async def test_unsuitable_options_are_refused(
    sound: Sound, run_job: RunJob, wav: Path, target: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadOptions, match=message):
        await run_job(sound, wav, "wav", target, **options)


async def test_video_without_sound_is_refused(sound: Sound, run_job: RunJob, folder: Path) -> None:
    ffmpeg(*lavfi("testsrc2=s=64x48:r=25:d=1"), *FAST, folder / "mute.mp4")

    with pytest.raises(BadSource, match="no readable sound"):
        await run_job(sound, folder / "mute.mp4", "mp4", "mp3")


async def test_wav_of_unknown_size_is_converted_whole(sound: Sound, run_job: RunJob, wav: Path, tmp_path: Path) -> None:
    """An interrupted recorder leaves -1 as the size."""
    content = bytearray(wav.read_bytes())
    content[4:8] = b"\xff" * 4
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff" * 4
    path = tmp_path / "open.wav"
    path.write_bytes(content)

    (product,) = await run_job(sound, path, "wav", "flac")

    assert len(samples(product.path)) == pytest.approx(96000, abs=200)


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a"])
async def test_truncated_sound_is_corrupt(sound: Sound, run_job: RunJob, folder: Path, kind: str) -> None:
    """I13: nothing truncated."""
    whole, cut = folder / f"long.{kind}", folder / f"cut.{kind}"
    ffmpeg(*lavfi("anoisesrc=d=8:r=44100"), *MADE_WITH[kind], whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    with pytest.raises(CorruptSource):
        await run_job(sound, cut, kind, "mp3")


@pytest.mark.parametrize("kind", [*MADE_WITH])
async def test_noise_and_playlists_are_refused(sound: Sound, run_job: RunJob, tmp_path: Path, kind: str) -> None:
    """I13."""
    for name, content in (
        ("noise", bytes((place * 7919 + place // 13) % 251 for place in range(20_000))),
        ("list", b"#EXTM3U\n#EXTINF:10.0,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        ("empty", b""),
    ):
        path = tmp_path / f"{name}.{kind}"
        path.write_bytes(content)
        with pytest.raises(CorruptSource):
            await run_job(sound, path, kind, "mp3")


async def test_wav_with_a_lying_header_is_refused(sound: Sound, run_job: RunJob, tmp_path: Path) -> None:
    """I13: 65,535 channels at four billion hertz."""
    shape = struct.pack("<HHIIHH", 1, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 16)
    path = tmp_path / "lies.wav"
    path.write_bytes(
        b"RIFF\xff\xff\xff\x7fWAVEfmt " + struct.pack("<I", 16) + shape + b"data\xff\xff\xff\x7f" + bytes(4000)
    )

    with pytest.raises(ConversionError):
        await run_job(sound, path, "wav", "mp3")


async def test_too_long_sound_is_refused(sound: Sound, run_job: RunJob, wav: Path) -> None:
    """I13."""
    with pytest.raises(SourceTooLarge, match="lasts 2 s"):
        await run_job(sound, wav, "wav", "mp3", limits=Limits(wall_s=60, cpu_s=60, duration_s=1))


@pytest.mark.corpus
@pytest.mark.parametrize("target", ["mp3", "flac", "opus", "m4a"])
async def test_real_files_convert(sound: Sound, run_job: RunJob, corpus: Path, target: str) -> None:
    """M11."""
    for path in sorted((corpus / "audio").iterdir()):
        if path.stat().st_size < 2_000_000:
            (product,) = await run_job(sound, path, path.suffix[1:], target)
            assert max(level_db(product.path), -80) == pytest.approx(max(level_db(path), -80), abs=3)


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050])
@pytest.mark.parametrize("seconds", [2, 3])
async def test_sound_at_a_low_rate_converts_to_mp3(
    sound: Sound, run_job: RunJob, folder: Path, rate: int, seconds: int
) -> None:
    path = folder / f"low-{rate}-{seconds}.wav"
    ffmpeg(*lavfi(tone(440, seconds=seconds, rate=rate)), "-ar", rate, path)

    (product,) = await run_job(sound, path, "wav", "mp3")

    assert len(samples(product.path)) / 48000 == pytest.approx(seconds, abs=0.02)
