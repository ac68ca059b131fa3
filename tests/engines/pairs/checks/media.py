"""Looks at videos and sounds with ffprobe and ffmpeg."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.engines.media.media_files import colour, frame_times, pitch, samples, streams
from tests.engines.pairs.checks.pictures import FILM
from tests.engines.pairs.pair import Fault, Result, apart, unlike
from tests.engines.pictures.small_pictures import BLUE, RED, is_near

SECONDS, FRAMES, HERTZ = 2.0, 50, 440.0
_CONTAINERS = {"mp4": "mov", "mov": "mov", "mkv": "matroska", "webm": "matroska"}
_CODECS = {
    "mp3": "mp3",
    "m4a": "aac",
    "aac": "aac",
    "opus": "opus",
    "ogg": "vorbis",
    "flac": "flac",
    "wav": "pcm_s16le",
}
_PADDING_S = 0.15
"""Encoders of sound fill up their last block, and some begin with an empty one."""


def film(result: Result) -> Iterator[str]:
    """Fifty moving frames of the same size, red then blue, with the tone."""
    path = result.path
    probe = _probed(path)
    yield from unlike("container", probe["format"]["format_name"].split(",")[0], _CONTAINERS[result.pair.target])
    (track,) = streams(probe, "video")
    yield from unlike("size", (track["width"], track["height"]), FILM)
    times = frame_times(path)
    yield from unlike("frames", len(times), FRAMES)
    yield from apart("seconds", float(probe["format"]["duration"]), SECONDS, _PADDING_S)
    for at_s, right in ((0.2, RED), (1.8, BLUE)):
        found = colour(path, at_s, 0.5, 0.5)
        if not is_near(found, right, 40):
            yield f"colour after {at_s} s: {found} instead of {right}"
    yield from _tone(path, probe)


def sound_of_film(result: Result) -> Iterator[str]:
    """The tone alone."""
    yield from _sound(result, channels=1)


def sound(result: Result) -> Iterator[str]:
    """The tone in two channels."""
    yield from _sound(result, channels=2)


def _sound(result: Result, *, channels: int) -> Iterator[str]:
    probe = _probed(result.path)
    yield from unlike("videos", len(streams(probe, "video")), 0)
    yield from _tone(result.path, probe)
    (track,) = streams(probe, "audio")
    yield from unlike("codec", track["codec_name"], _CODECS[result.pair.target])
    yield from unlike("channels", track["channels"], channels)


def _tone(path: Path, probe: dict[str, Any]) -> Iterator[str]:
    found = streams(probe, "audio")
    if len(found) != 1:
        raise Fault(f"sound tracks: {len(found)} instead of 1")
    yield from apart("seconds of sound", len(samples(path)) / 48_000, SECONDS, _PADDING_S)
    yield from apart("pitch", pitch(path), HERTZ, 6)


def _probed(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    probe: dict[str, Any] = json.loads(answer)
    return probe
