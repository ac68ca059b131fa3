"""Runs ffmpeg and ffprobe in the sandbox: one forced demuxer for the sniffed format, no network, progress."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from converto_core.errors import (
    BadSource,
    ConversionError,
    CorruptSource,
    EngineCrashed,
    EngineError,
    LimitExceeded,
    OutputInvalid,
)
from converto_engines.converter import ANSWER_WITHIN_S, Job, Limits, Report
from converto_engines.media import source_checks
from converto_engines.media.probe import Probe, read_first_frame, read_hidden, read_probe
from converto_engines.runtime.process import ProcessResult, Sandbox
from converto_engines.runtime.sandbox import PROGRAM_PATH

VIDEO_SOURCES = ("mp4", "mkv", "webm", "mov", "avi", "ts", "mpg", "flv", "wmv")
SOUND_SOURCES = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac")

# Format: demuxer and format whitelist. Demuxers that open further files (hls, dash, concat, sdp, image sequences) are
# left out, so that no content can select them.
_MOV = "mov,mp4,m4a,3gp,3g2,mj2"
_DEMUXERS = {
    "mp4": ("mov", _MOV),
    "mov": ("mov", _MOV),
    "m4a": ("mov", _MOV),
    "mkv": ("matroska", "matroska,webm"),
    "webm": ("matroska", "matroska,webm"),
    "ts": ("mpegts", "mpegts"),
    "mpg": ("mpeg", "mpeg"),
    "wmv": ("asf", "asf"),
    "opus": ("ogg", "ogg"),
    "png": ("png_pipe", "png_pipe"),
    "jpg": ("jpeg_pipe", "jpeg_pipe"),
    "webp": ("webp_pipe", "webp_pipe"),
}
_RAW_VIDEO_START = b"\0\0\1\xb3"
# Formats without an index, where seeking by byte position misses the requested time.
WITHOUT_INDEX = frozenset({"ts", "mpg", "mp3", "aac", "flv"})
# Streams may begin late in these formats, so the demuxer probes more than its usual 5 MB.
_DEEP_PROBE = ("-probesize", "50M", "-analyzeduration", "30M")
_QUIET = ("-nostdin", "-hide_banner", "-v", "error")
_PROBED_FIELDS = (
    "stream=index,codec_type,codec_name,codec_tag_string,width,height,pix_fmt,sample_aspect_ratio,avg_frame_rate,"
    "r_frame_rate,field_order,color_transfer,color_primaries,color_space,sample_rate,sample_fmt,channels,"
    "bits_per_sample,bits_per_raw_sample,"
    "start_time,duration,nb_frames:stream_disposition:stream_tags:stream_side_data:format=duration,start_time:chapter=id"
)
_VERSION_LIMITS = Limits(wall_s=ANSWER_WITHIN_S, cpu_s=10, memory_bytes=1024**3, file_bytes=1024**2)
_LENGTH_SLACK_S, _LENGTH_SLACK = 1.0, 0.02
_PROBE_WALL_S, _PROBE_CPU_S = 60.0, 60


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a run: seconds to the end of the longest track, number of frames, and the end of the log."""

    duration_s: float
    frames: int
    log: str


class Ffmpeg:
    """Runs both programs in the sandbox; all paths must be in the job's folder."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that runs each call."""
        self.sandbox = sandbox

    async def version(self) -> str | None:
        """Return ffmpeg's version, or None when it or ffprobe is missing; raises when ffmpeg does not answer."""
        if not all(shutil.which(name, path=PROGRAM_PATH) for name in ("ffmpeg", "ffprobe")):
            return None
        first, _, _ = (await self._ask("-version")).partition("\n")
        match = re.match(r"ffmpeg version (\S+)", first)
        if match is None:
            raise EngineCrashed(detail=f"ffmpeg -version printed {first[:200]!r}")
        return match.group(1)

    async def encoders(self) -> frozenset[str]:
        """Return the names of the encoders in this build."""
        lines = (await self._ask("-hide_banner", "-encoders")).splitlines()
        return frozenset(words[1] for words in map(str.split, lines) if len(words) > 1 and len(words[0]) == 6)

    async def probe(self, job: Job, path: Path, format_name: str) -> Probe:
        """Return the tracks of a file; raises `CorruptSource` when it is not of that format."""
        answer = job.folder / "probe.json"
        reading = self.reading(job, path, format_name)
        shown = ("-show_entries", _PROBED_FIELDS, "-of", "json", "-o", self.sandbox.path_inside(job.folder, answer))
        limits = msgspec.structs.replace(job.limits, wall_s=_PROBE_WALL_S, cpu_s=_PROBE_CPU_S)
        argv = ["ffprobe", "-hide_banner", "-v", "error", *reading, *shown]
        finished = await self.sandbox.run(argv, folder=job.folder, limits=limits)
        try:
            if finished.exit_code != 0:
                raise _unreadable(finished.stderr_tail)
            # ffprobe derives the length of an AVI from its size, so a truncated file looks complete.
            return read_probe(answer, counts_frames=format_name == "avi")
        finally:
            answer.unlink(missing_ok=True)

    async def probe_source(self, job: Job) -> Probe:
        """Return the source's tracks, checked against all limits.

        A length that is unknown, or only estimated for want of an index, is measured by reading the file.
        """
        job.report(0, "analysing the file")
        await asyncio.to_thread(source_checks.check_protection, job.source, job.source_format)
        probe = await self.probe(job, job.source, job.source_format)
        if job.source_format == "wav":
            await asyncio.to_thread(source_checks.check_wav_end, job.source)
        source_checks.check_tracks(probe, job.limits)
        if probe.duration_s is None or job.source_format in WITHOUT_INDEX:
            probe = _with_length(probe, (await self.scan(job)).duration_s)
        source_checks.check_duration(probe.duration_s, job.limits)
        return probe

    def reading(self, job: Job, path: Path, format_name: str) -> list[str]:
        """Return the arguments that open a file with the demuxer of its format only."""
        demuxer, names = _DEMUXERS.get(format_name, (format_name, format_name))
        if format_name == "mpg" and _starts_with(path, _RAW_VIDEO_START):
            demuxer = names = "mpegvideo"
        more = ("-enable_drefs", "0", "-use_absolute_path", "0") if demuxer == "mov" else ()
        probing = _DEEP_PROBE if format_name in {"ts", "mpg", "flv"} else ()
        allowed = ("-protocol_whitelist", "file,pipe", "-format_whitelist", names)
        return [*allowed, *more, *probing, "-f", demuxer, "-i", f"file:{self.sandbox.path_inside(job.folder, path)}"]

    def writing(self, job: Job, path: Path) -> str:
        """Return the argument for an output."""
        return f"file:{self.sandbox.path_inside(job.folder, path)}"

    async def run(
        self,
        job: Job,
        arguments: Sequence[str],
        *,
        on_time: Callable[[float], object] | None = None,
        level: str = "error",
        devices: Sequence[Path] = (),
    ) -> RunResult:
        """Run ffmpeg; `on_time` gets the seconds done. Raises `FfmpegFailed` for a non-zero exit status."""
        progress = _Progress(on_time)
        shown = ("-nostdin", "-hide_banner", "-v", level, "-y", "-progress", "pipe:1", "-stats_period", "0.5")
        finished = await self.sandbox.run(
            ["ffmpeg", *shown, *arguments],
            folder=job.folder,
            limits=job.limits,
            on_line=progress.take_line,
            devices=devices,
        )
        if finished.exit_code != 0:
            raise _failure(finished)
        return RunResult(duration_s=progress.seconds, frames=progress.frames, log=finished.stderr_tail)

    async def first_frame_side_data(self, job: Job, track: int) -> dict[str, dict[str, str]]:
        """Return the side data of a track's first frame by type, such as HDR metadata; not all containers store it."""
        answer = job.folder / "first-frame.json"
        reading = self.reading(job, job.source, job.source_format)
        shown = ["-select_streams", str(track), "-read_intervals", "%+#1", "-show_entries", "frame_side_data"]
        written = ["-of", "json", "-o", self.sandbox.path_inside(job.folder, answer)]
        argv = ["ffprobe", "-hide_banner", "-v", "error", *reading, *shown, *written]
        await self.sandbox.run(argv, folder=job.folder, limits=job.limits)
        return await asyncio.to_thread(read_first_frame, answer)

    async def hidden_parts(self, job: Job) -> dict[int, float]:
        """Return the seconds that the edit lists of an MP4 hide, by track; read without decoding."""
        answer = job.folder / "packets.csv"
        reading = self.reading(job, job.source, job.source_format)
        shown = ["-show_entries", "packet=stream_index,duration_time,flags", "-of", "csv=p=0"]
        written = ["-o", self.sandbox.path_inside(job.folder, answer)]
        argv = ["ffprobe", "-hide_banner", "-v", "error", *reading, *shown, *written]
        finished = await self.sandbox.run(argv, folder=job.folder, limits=job.limits)
        try:
            if finished.exit_code != 0:
                raise _unreadable(finished.stderr_tail)
            return await asyncio.to_thread(read_hidden, answer)
        finally:
            answer.unlink(missing_ok=True)

    async def scan(self, job: Job, *tracks: int) -> RunResult:
        """Measure the real length and the number of video packets by reading without decoding."""
        chosen = [word for index in tracks for word in ("-map", f"0:{index}")] or ["-map", "0:v?", "-map", "0:a?"]
        reading = self.reading(job, job.source, job.source_format)
        try:
            return await self.run(job, [*reading, *chosen, "-c", "copy", "-f", "null", "-"])
        except FfmpegFailed as error:
            raise _unreadable(error.detail) from error

    async def decode(self, job: Job, path: Path, format_name: str, *, on_time: Callable[[float], object]) -> RunResult:
        """Decode all video and audio of a result; raises `OutputInvalid` at the first error.

        The loop filter is skipped: it only smooths frames whose bits have all been read, so it cannot find errors, and
        it takes an eighth of the time (measured).
        """
        strict = ("-xerror", "-err_detect", "explode", "-skip_loop_filter", "all")
        reading = self.reading(job, path, format_name)
        try:
            arguments = [*strict, *reading, "-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-f", "null"]
            return await self.run(job, [*arguments, "-"], on_time=on_time)
        except FfmpegFailed as error:
            raise OutputInvalid("The result cannot be decoded completely", detail=error.detail) from error

    async def _ask(self, *arguments: str) -> str:
        with tempfile.TemporaryDirectory(prefix="converto-") as folder:
            finished = await self.sandbox.run(["ffmpeg", *arguments], folder=Path(folder), limits=_VERSION_LIMITS)
        if finished.exit_code != 0:
            raise _failure(finished)
        return finished.stdout.decode(errors="replace")


def _with_length(probe: Probe, measured_s: float) -> Probe:
    """Return the probe with its measured length, unless that confirms the declared one.

    In joined recordings the clock jumps, so that a length taken from the first and last timestamps may be off by hours.
    """
    declared_s = probe.duration_s
    if declared_s is not None and abs(declared_s - measured_s) <= max(_LENGTH_SLACK_S, _LENGTH_SLACK * declared_s):
        return probe
    tracks = tuple(msgspec.structs.replace(track, end_s=None) for track in probe.tracks)
    return msgspec.structs.replace(probe, tracks=tracks, duration_s=measured_s or declared_s)


class FfmpegFailed(EngineError):
    """ffmpeg or ffprobe ended with a non-zero exit status; `detail` holds the end of its log."""


def _failure(finished: ProcessResult) -> FfmpegFailed:

    return FfmpegFailed(detail=f"exit status {finished.exit_code}: {finished.stderr_tail[-2000:]}")


_BROKEN = re.compile(
    r"invalid data found|error while decoding|moov atom not found|find codec parameters|header missing", re.IGNORECASE
)
_UNSUPPORTED = re.compile(r"decoder \S+ ?.*not found|not implemented|patches welcome", re.IGNORECASE)
_OUT_OF_MEMORY = re.compile(r"cannot allocate memory", re.IGNORECASE)
_MACHINE = re.compile(
    r"no space left|permission denied|too many open files|resource temporarily unavailable",
    re.IGNORECASE,
)


def translated(error: FfmpegFailed) -> ConversionError:
    """Return the error that says whose fault it is by the log: this machine's, a limit's or the file's.

    The machine comes first, because what it refuses also breaks the reading of an intact file. A damaged file may look
    like an unsupported one, so what is plainly invalid comes before that.
    """
    log = error.detail
    if _MACHINE.search(log):
        return error
    if _OUT_OF_MEMORY.search(log):
        return LimitExceeded("The file needs more memory than is allowed for one file", detail=log)
    if _UNSUPPORTED.search(log) and "invalid data found" not in log.lower():
        return BadSource("The file uses a codec, or a feature of one, that is not supported", detail=log)
    return CorruptSource(detail=log) if _BROKEN.search(log) else error


DAMAGE_NOTE = "The source is damaged in places; damaged areas were concealed with content from nearby"
_CONCEALED = re.compile(r"concealing|error while decoding|corrupt|invalid data found|decode_slice", re.IGNORECASE)


def reports_damage(log: str) -> bool:
    """Return whether the log reports damaged frames; most other messages are harmless."""
    return _CONCEALED.search(log) is not None


def progress_between(
    report: Report, duration_s: float | None, *, first: float, last: float, stage: str
) -> Callable[[float], None]:
    """Return an `on_time` that reports percent from `first` to `last`, or only the stage without a length."""
    percent = first

    def on_time(seconds: float) -> None:
        nonlocal percent
        if duration_s:
            percent = max(percent, min(first + (last - first) * seconds / duration_s, last))
        report(percent if duration_s else None, stage)

    return on_time


class _Progress:
    """Parses ffmpeg's `key=value` progress lines."""

    def __init__(self, on_time: Callable[[float], object] | None) -> None:
        self._on_time = on_time
        self.seconds, self.frames = 0.0, 0

    def take_line(self, line: str) -> None:
        key, _, value = line.partition("=")
        number = value.strip()
        if key == "frame" and number.isdecimal():
            self.frames = int(number)
        if key != "out_time_us" or not number.isdecimal():
            return
        self.seconds = int(number) / 1e6
        if self._on_time is not None:
            self._on_time(self.seconds)


def _unreadable(log: str) -> ConversionError:
    """Return the error of a run that only read the source: the file is at fault unless the log blames another."""
    error = translated(FfmpegFailed(detail=log))
    if _MACHINE.search(log) or not isinstance(error, FfmpegFailed | CorruptSource):
        return error
    if "moov atom not found" in log:
        return CorruptSource(
            "The file has no index because its recording or upload was interrupted. Upload the complete file",
            detail=log,
        )
    return CorruptSource(detail=log[-2000:])


def _starts_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start
