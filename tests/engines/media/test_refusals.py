"""Refusals say whose fault it is: damaged, not supported, protected, too large, or ours (behaviour I13)."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import (
    BadSource,
    ConversionError,
    CorruptSource,
    EncryptedSource,
    LimitExceeded,
    SourceTooLarge,
)
from converto_engines.converter import Converter, Limits
from converto_engines.media.ffmpeg import FfmpegFailed, translated
from converto_engines.media.sound import Sound
from converto_engines.media.video import Video
from converto_engines.media.video_pictures import VideoFrame, VideoGif
from converto_engines.runtime.process import Sandbox
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import FAST, PATTERN, SOUND, ffmpeg, lavfi, tone

TARGETS = {"video": "mp4", "video-frame": "png", "video-gif": "gif", "sound": "mp3"}
KEY_ID = bytes(range(16))
NAME = "x" * 60
CONTENT_ENCRYPTION = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")


@pytest.fixture(params=TARGETS)
def converter(request: pytest.FixtureRequest, sandbox: Sandbox, video: Video) -> Converter:
    made = {"video": video, "video-frame": VideoFrame(sandbox), "video-gif": VideoGif(sandbox), "sound": Sound(sandbox)}
    chosen: Converter = made[request.param]
    return chosen


def film(folder: Path, kind: str) -> bytes:
    path = folder / f"refused.{kind}"
    codecs = {"wmv": ["-c:v", "wmv2", "-c:a", "wmav2"]}.get(kind, [*FAST, *SOUND])
    ffmpeg(*lavfi(PATTERN, tone(440)), *codecs, "-metadata:s", f"title={NAME}", path)
    return path.read_bytes()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def emptied(content: bytes) -> bytes:
    return bytes(len(content))


def of_unknown_codecs(content: bytes) -> bytes:
    return content.replace(b"avc1", b"zzz1").replace(b"mp4a", b"zzz2").replace(b"esds", b"free")


def scrambled(content: bytes) -> bytes:
    """A transport stream whose packets with pictures and sound are marked as scrambled, as in pay TV."""
    packets = [bytearray(content[at : at + 188]) for at in range(0, len(content), 188)]
    for packet in packets:
        if (packet[1] & 0x1F) == 1:  # the tracks have the ids 0x100 and 0x101
            packet[3] |= 0x80
            packet[20:] = bytes(byte ^ 0x5A for byte in packet[20:])
    return b"".join(packets)


def encrypted_matroska(content: bytes) -> bytes:
    """The tracks' names become descriptions of their encryption, of the same length."""

    def element(number: bytes, content: bytes) -> bytes:
        return number + bytes([0x80 | len(content)]) + content

    algorithm = element(b"\x47\xe1", b"\5") + element(b"\x47\xe2", KEY_ID)
    kind = element(b"\x50\x31", b"\0") + element(b"\x50\x32", b"\1") + element(b"\x50\x33", b"\1")
    encodings = element(b"\x6d\x80", element(b"\x62\x40", kind + element(b"\x50\x35", algorithm)))
    name = b"\x53\x6e\xbc" + NAME.encode()
    assert name in content
    return content.replace(name, encodings + element(b"\xec", bytes(len(name) - len(encodings) - 2)))


def encrypted_windows_media(content: bytes) -> bytes:
    """One more object in the header."""
    size, count = struct.unpack_from("<QI", content, 16)
    new = CONTENT_ENCRYPTION + struct.pack("<Q", 24 + 16) + struct.pack("<4I", 0, 0, 0, 0)
    return content[:16] + struct.pack("<QI", size + len(new), count + 1) + content[28:30] + new + content[30:]


BAD: dict[str, tuple[str, Callable[[bytes], bytes], type[ConversionError], str]] = {
    "cut": ("mp4", cut, CorruptSource, "no index"),
    "zeros": ("mp4", emptied, CorruptSource, "no index"),
    "zeros in a stream": ("ts", emptied, CorruptSource, "damaged"),
    "unknown codecs": ("mp4", of_unknown_codecs, BadSource, r"not supported \(zzz[12]\)"),
    "pay TV": ("ts", scrambled, EncryptedSource, "copy protected"),
    "encrypted Matroska": ("mkv", encrypted_matroska, EncryptedSource, "copy protected"),
    "Windows Media with DRM": ("wmv", encrypted_windows_media, EncryptedSource, "copy protected"),
}


@pytest.mark.parametrize("name", BAD)
async def test_refusal_says_what_is_wrong_with_the_file(
    converter: Converter, run_job: RunJob, folder: Path, tmp_path: Path, name: str
) -> None:
    kind, spoil, expected, words = BAD[name]
    path = tmp_path / f"bad.{kind}"
    path.write_bytes(spoil(film(folder, kind)))

    with pytest.raises(ConversionError, match=words) as refused:
        await run_job(converter, path, kind, TARGETS[converter.name])

    assert type(refused.value) is expected
    assert not refused.value.retryable


@pytest.mark.parametrize("kind", ["mkv", "avi"])
async def test_missing_end_is_the_fault_of_the_file(gif: VideoGif, run_job: RunJob, folder: Path, kind: str) -> None:
    whole, path = folder / f"eight.{kind}", folder / f"half.{kind}"
    ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=8"), *FAST, "-g", 25, whole)
    path.write_bytes(cut(whole.read_bytes()))

    with pytest.raises(CorruptSource, match="end of the file is missing"):
        await run_job(gif, path, kind, "gif")


async def test_damaged_frames_are_told(gif: VideoGif, frame: VideoFrame, run_job: RunJob, folder: Path) -> None:
    whole, path, notes = folder / "one-group.mp4", folder / "one-scratch.mp4", []
    ffmpeg(*lavfi("testsrc2=s=160x120:r=25:d=2"), "-c:v", "libx264", "-pix_fmt", "yuv420p", whole)
    content = bytearray(whole.read_bytes())
    start = content.index(b"mdat") + 1500
    content[start : start + 400] = b"\x55" * 400
    path.write_bytes(content)

    await run_job(gif, path, "mp4", "gif", note=notes.append)
    await run_job(frame, path, "mp4", "png", at_s=0.0, note=notes.append)

    assert ["damaged" in note for note in notes] == [True, True]


TOO_LARGE = [({"duration_s": 1.0}, "lasts 2 s; at most 1 s"), ({"streams": 1}, "2 tracks; at most 1")]


@pytest.mark.parametrize(("limit", "words"), TOO_LARGE)
@pytest.mark.parametrize("kind", ["mp4", "ts"])
async def test_too_large_file_is_told_its_limit(
    converter: Converter, run_job: RunJob, folder: Path, kind: str, limit: dict[str, Any], words: str
) -> None:
    path = folder / f"limited.{kind}"
    path.write_bytes(film(folder, kind))

    with pytest.raises(SourceTooLarge, match=words):
        await run_job(converter, path, kind, TARGETS[converter.name], limits=Limits(wall_s=60, cpu_s=60, **limit))


LOGS: list[tuple[str, type[ConversionError]]] = [
    ("a.mp4: Invalid data found when processing input", CorruptSource),
    ("[h264] Error while decoding stream #0:0", CorruptSource),
    ("Decoder (codec evrc) not found for input stream #0:1", BadSource),
    ("[aac] Not yet implemented in FFmpeg, patches welcome", BadSource),
    ("Feature is not implemented. Invalid data found when processing input", CorruptSource),
    ("out.mp4: No space left on device. Error while decoding stream #0:0", FfmpegFailed),
    ("pipe: Cannot allocate memory", LimitExceeded),
    ("Error initializing output stream 0:0", FfmpegFailed),
    ("Could not write header for output file #0 (incorrect codec parameters ?)", FfmpegFailed),
]


@pytest.mark.parametrize(("log", "expected"), LOGS)
def test_log_tells_the_file_from_the_machine(log: str, expected: type[ConversionError]) -> None:
    assert type(translated(FfmpegFailed(detail=log))) is expected
