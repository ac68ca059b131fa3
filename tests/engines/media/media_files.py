"""Small videos and sounds from ffmpeg's generators, and independent measurements of results."""

import asyncio
import functools
import json
import math
import struct
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy

SUBTITLES = "1\n00:00:00,200 --> 00:00:01,000\nHello there\n\n2\n00:00:01,100 --> 00:00:01,800\nSecond line\n"
WORDS = (
    ";FFMETADATA1\ntitle=A film\nartist=Somebody\ncomment=kept\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=Two\n"
)
PATTERN = "testsrc2=s=96x64:r=25:d=2"
FAST = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
QUICK = {"preset": "ultrafast"}
SOUND = ("-c:a", "aac")


def ffmpeg(*arguments: object) -> bytes:
    """Run ffmpeg without the sandbox, to make and to inspect files."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def lavfi(*sources: str) -> list[str]:
    """Inputs from ffmpeg's own generators."""
    return [word for source in sources for word in ("-f", "lavfi", "-i", source)]


def tone(hertz: int, *, seconds: float = 2, rate: int = 48000) -> str:
    return f"sine={hertz}:d={seconds}:r={rate}"


async def probed(path: Path) -> dict[str, Any]:
    """Everything ffprobe reports."""
    shown = ["-show_streams", "-show_format", "-show_chapters", "-of", "json"]
    command = ["ffprobe", "-v", "error", *shown, str(path)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    answer, _ = await process.communicate()
    probe: dict[str, Any] = json.loads(answer)
    return probe


def streams(probe: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [stream for stream in probe["streams"] if stream["codec_type"] == kind]


def first_frame(path: Path) -> set[str]:
    """The words that ffprobe prints about the first frame and its side data."""
    command = ["ffprobe", "-v", "error", "-read_intervals", "%+#1", "-show_frames", str(path)]
    return set(subprocess.run(command, check=True, capture_output=True).stdout.decode().split())


def frame_times(path: Path) -> list[float]:
    """The timestamp of each frame of the first video track, in seconds."""
    shown = ["-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0"]
    output = subprocess.run(["ffprobe", "-v", "error", *shown, str(path)], check=True, capture_output=True).stdout
    return [float(line.strip(b",")) for line in output.split()]


def colour(path: Path, at_s: float, x: float, y: float) -> tuple[int, ...]:
    """The slightly blurred colour at a time, and at a position in shares of width and height."""
    shrunk = "scale=16:16:flags=area"
    output = ffmpeg("-i", path, "-ss", at_s, "-frames:v", 1, "-vf", shrunk, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    start = (int(y * 16) * 16 + int(x * 16)) * 3
    return tuple(output[start : start + 3])


def samples(path: Path, track: int = 0, rate: int = 48000) -> list[int]:
    """The samples of one track, mixed to one channel of 16 bits."""
    arguments = ["-map", f"0:a:{track}", "-f", "s16le", "-ac", 1, "-ar", rate, "-"]
    output = ffmpeg("-i", path, *arguments)
    return list(struct.unpack(f"<{len(output) // 2}h", output))


def pitch(path: Path, track: int = 0, start_s: float = 0.25) -> float:
    """The frequency of a sine, from its upward zero crossings in half a second."""
    recorded = samples(path, track)[int(start_s * 48000) :][:24000]
    crossings = sum(1 for before, after in pairwise(recorded) if before < 0 <= after)
    return crossings * 2.0


@functools.cache
def level_db(path: Path) -> float:
    """Mean power of the sound below full scale; silence is -120."""
    output = ffmpeg("-i", path, "-map", "0:a:0", "-f", "s16le", "-ac", 1, "-ar", 48000, "-")
    power = float(numpy.mean(numpy.square(numpy.frombuffer(output, "<i2").astype(float)))) if output else 0.0
    return 10 * math.log10(power / 32768**2) if power else -120.0


def loudness(path: Path) -> float:
    """Integrated loudness by the ebur128 filter."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-i", str(path), "-af", "ebur128", "-f", "null", "-"]
    log = subprocess.run(command, check=True, capture_output=True).stderr.decode()
    return float(log.rpartition("I:")[2].split()[0])


def decoded_hash(path: Path, sample_format: str) -> bytes:
    """A hash of all samples, unmixed and unscaled."""
    return ffmpeg("-i", path, "-map", "0:a:0", "-c:a", sample_format, "-f", "md5", "-")


def decoded_pictures(path: Path) -> bytes:
    """A hash of all frames; the packets of H.264 are framed differently in each container."""
    return ffmpeg("-i", path, "-map", "0:v:0", "-f", "md5", "-")


def scratched(path: Path) -> Path:
    """Eight seconds of H.264 at 25 pictures a second, of which a few bytes in the middle are damaged."""
    ffmpeg(*lavfi("testsrc2=s=160x120:r=25:d=8"), "-c:v", "libx264", "-g", 25, "-pix_fmt", "yuv420p", path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 24] = b"\x55" * 24
    path.write_bytes(content)
    return path
