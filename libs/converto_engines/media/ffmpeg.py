"""How ffmpeg and ffprobe are called: one forced reader for the sniffed format, no network, progress lines, checks.

It knows no option of a user and plans no conversion; `video.py`, `sound.py` and `video_pictures.py` do.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from converto_core.errors import BadSource, ConversionError, CorruptSource, EngineError, OutputInvalid
from converto_engines.converter import Job, Limits, Report
from converto_engines.media import probe as media_probe
from converto_engines.media.probe import Probe
from converto_engines.runtime import sandbox
from converto_engines.runtime.process import ProcessResult, Sandbox

VIDEO_SOURCES = ("mp4", "mkv", "webm", "mov", "avi", "ts", "mpg", "flv", "wmv")
SOUND_SOURCES = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac")

# Media readers of ffmpeg only; those that open further files (hls, dash, concat, sdp, image sequences) have no name
# here, so nothing that a file says can choose them.
_MOV = "mov,mp4,m4a,3gp,3g2,mj2"
_READERS = {
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
# Readers whose file has no index: a jump by byte position would land beside the wanted moment.
WITHOUT_INDEX = frozenset({"ts", "mpg", "mp3", "aac", "flv"})
# Streams may begin late in these, so the reader looks further than its usual 5 MB.
_LOOK_FAR = ("-probesize", "50M", "-analyzeduration", "30M")
_QUIET = ("-nostdin", "-hide_banner", "-v", "error")
_PROBED = (
    "stream=index,codec_type,codec_name,codec_tag_string,width,height,pix_fmt,sample_aspect_ratio,avg_frame_rate,"
    "r_frame_rate,field_order,color_transfer,sample_rate,sample_fmt,channels,bits_per_sample,bits_per_raw_sample,"
    "start_time,duration,nb_frames:stream_disposition:stream_tags:stream_side_data:format=duration,start_time:chapter=id"
)
_VERSION_LIMITS = Limits(wall_s=20, cpu_s=10, memory_bytes=1024**3, file_bytes=1024**2)
_PROBE_WALL_S, _PROBE_CPU_S = 60.0, 60


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of ffmpeg went through: seconds to the end of its longest track, frames, and what it complained of."""

    duration_s: float
    frames: int
    complaints: str


class Ffmpeg:
    """Calls the two programs in the sandbox. All paths must lie in the job's folder."""

    def __init__(self, box: Sandbox) -> None:
        """Take the sandbox that each call runs in."""
        self.box = box

    async def version(self) -> str | None:
        """Version of ffmpeg, None when it or ffprobe is missing."""
        if not all(shutil.which(name, path=sandbox.PROGRAM_PATH) for name in ("ffmpeg", "ffprobe")):
            return None
        first, _, _ = (await self._ask("-version")).partition("\n")
        match = re.match(r"ffmpeg version (\S+)", first)
        return match.group(1) if match else None

    async def encoders(self) -> frozenset[str]:
        """The encoders that this ffmpeg was built with."""
        lines = (await self._ask("-hide_banner", "-encoders")).splitlines()
        return frozenset(words[1] for words in map(str.split, lines) if len(words) > 1 and len(words[0]) == 6)

    async def probe(self, job: Job, path: Path, format_name: str) -> Probe:
        """What is in a file; raises `CorruptSource` when it cannot be read as that format."""
        answer = job.folder / "probe.json"
        reading = self.reading(job, path, format_name)
        shown = ("-show_entries", _PROBED, "-of", "json", "-o", self.box.path_inside(job.folder, answer))
        limits = msgspec.structs.replace(job.limits, wall_s=_PROBE_WALL_S, cpu_s=_PROBE_CPU_S)
        argv = ["ffprobe", "-hide_banner", "-v", "error", *reading, *shown]
        finished = await self.box.run(argv, folder=job.folder, limits=limits)
        try:
            if finished.exit_code != 0:
                raise _unreadable(finished.stderr_tail)
            # ffprobe takes the length of an AVI from what is there of it, so that one cut off seems whole.
            return media_probe.read_probe(answer, counts_frames=format_name == "avi")
        finally:
            answer.unlink(missing_ok=True)

    async def probe_source(self, job: Job) -> Probe:
        """The source's tracks, within all limits; a length that the file does not tell is found by reading it."""
        job.report(0, "looking into the file")
        probe = await self.probe(job, job.source, job.source_format)
        if _READERS.get(job.source_format, ("",))[0] == "mov":
            await asyncio.to_thread(media_probe.check_protection, job.source)
        if job.source_format == "wav":
            await asyncio.to_thread(media_probe.check_wav_end, job.source)
        media_probe.check_limits(probe, job.limits)
        if probe.duration_s is None:
            scanned = await self.scan(job)
            probe = msgspec.structs.replace(probe, duration_s=scanned.duration_s or None)
            media_probe.check_limits(probe, job.limits)
        return probe

    def reading(self, job: Job, path: Path, format_name: str) -> list[str]:
        """The arguments that open one file with the reader of its format and with no other."""
        reader, names = _READERS.get(format_name, (format_name, format_name))
        if format_name == "mpg" and _starts_with(path, _RAW_VIDEO_START):
            reader = names = "mpegvideo"
        more = ("-enable_drefs", "0", "-use_absolute_path", "0") if reader == "mov" else ()
        far = _LOOK_FAR if format_name in {"ts", "mpg", "flv"} else ()
        allowed = ("-protocol_whitelist", "file,pipe", "-format_whitelist", names)
        return [*allowed, *more, *far, "-f", reader, "-i", f"file:{self.box.path_inside(job.folder, path)}"]

    def writing(self, job: Job, path: Path) -> str:
        """How an output is named."""
        return f"file:{self.box.path_inside(job.folder, path)}"

    async def run(
        self,
        job: Job,
        arguments: Sequence[str],
        *,
        on_time: Callable[[float], object] | None = None,
        level: str = "error",
        devices: Sequence[Path] = (),
    ) -> Taken:
        """Run ffmpeg to its end; `on_time` hears the seconds done. Raises `FfmpegRefused` for an exit status."""
        progress = _Progress(on_time)
        shown = ("-nostdin", "-hide_banner", "-v", level, "-y", "-progress", "pipe:1", "-stats_period", "0.5")
        finished = await self.box.run(
            ["ffmpeg", *shown, *arguments],
            folder=job.folder,
            limits=job.limits,
            on_line=progress.hear,
            devices=devices,
        )
        if finished.exit_code != 0:
            raise refusal(finished)
        return Taken(duration_s=progress.seconds, frames=progress.frames, complaints=finished.stderr_tail)

    async def light(self, job: Job, track: int) -> dict[str, dict[str, str]]:
        """What the first frame says of the screen it was made for, by kind; not every container repeats it."""
        answer = job.folder / "light.json"
        reading = self.reading(job, job.source, job.source_format)
        shown = ["-select_streams", str(track), "-read_intervals", "%+#1", "-show_entries", "frame_side_data"]
        written = ["-of", "json", "-o", self.box.path_inside(job.folder, answer)]
        argv = ["ffprobe", "-hide_banner", "-v", "error", *reading, *shown, *written]
        await self.box.run(argv, folder=job.folder, limits=job.limits)
        return await asyncio.to_thread(media_probe.read_light, answer)

    async def scan(self, job: Job, *tracks: int) -> Taken:
        """How long the source really is and how many packets its pictures have, by reading without decoding."""
        chosen = [word for index in tracks for word in ("-map", f"0:{index}")] or ["-map", "0:v?", "-map", "0:a?"]
        reading = self.reading(job, job.source, job.source_format)
        try:
            return await self.run(job, [*reading, *chosen, "-c", "copy", "-f", "null", "-"])
        except FfmpegRefused as error:
            raise CorruptSource(detail=error.detail) from error  # nothing was asked of it but to read

    async def decode(self, job: Job, path: Path, format_name: str, *, on_time: Callable[[float], object]) -> Taken:
        """Decode every picture and sound of a result, raising `OutputInvalid` at the first mistake in it.

        The loop filter only smooths pictures after all bits of them were read, so the check goes without: an eighth of
        its time (measured), and every broken bit that a decoder can notice is noticed before.
        """
        strict = ("-xerror", "-err_detect", "explode", "-skip_loop_filter", "all")
        reading = self.reading(job, path, format_name)
        try:
            arguments = [*strict, *reading, "-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-f", "null"]
            return await self.run(job, [*arguments, "-"], on_time=on_time)
        except FfmpegRefused as error:
            raise OutputInvalid("The result cannot be decoded to its end", detail=error.detail) from error

    async def _ask(self, *arguments: str) -> str:
        with tempfile.TemporaryDirectory(prefix="converto-") as folder:
            finished = await self.box.run(["ffmpeg", *arguments], folder=Path(folder), limits=_VERSION_LIMITS)
        return finished.stdout.decode(errors="replace")


class FfmpegRefused(EngineError):
    """Raised when ffmpeg ended with an exit status; `detail` holds what it said."""


def refusal(finished: ProcessResult) -> FfmpegRefused:
    """The error of a run that ended with an exit status."""
    return FfmpegRefused(detail=f"exit status {finished.exit_code}: {finished.stderr_tail[-2000:]}")


_BROKEN = re.compile(
    r"invalid data found|error while decoding|moov atom not found|codec parameters|header missing", re.IGNORECASE
)


def blamed(error: FfmpegRefused) -> ConversionError:
    """The file is at fault when ffmpeg says that it could not read or decode it, else the program is."""
    return CorruptSource(detail=error.detail) if _BROKEN.search(error.detail) else error


_CONCEALED = re.compile(r"concealing|error while decoding|corrupt|invalid data found|decode_slice", re.IGNORECASE)


def tells_of_damage(complaints: str) -> bool:
    """Whether ffmpeg met broken pictures or sounds; most of its other complaints are harmless."""
    return _CONCEALED.search(complaints) is not None


def share_of(
    report: Report, duration_s: float | None, *, first: float, last: float, stage: str
) -> Callable[[float], None]:
    """A listener of `run` that reports seconds as percent between two marks; without a length just the stage."""
    farthest = first

    def hear(seconds: float) -> None:
        nonlocal farthest
        if duration_s:
            farthest = max(farthest, min(first + (last - first) * seconds / duration_s, last))
        report(farthest if duration_s else None, stage)

    return hear


class _Progress:
    """Reads ffmpeg's `key=value` lines."""

    def __init__(self, on_time: Callable[[float], object] | None) -> None:
        self._on_time = on_time
        self.seconds, self.frames = 0.0, 0

    def hear(self, line: str) -> None:
        key, _, value = line.partition("=")
        number = value.strip()
        if key == "frame" and number.isdecimal():
            self.frames = int(number)
        if key != "out_time_us" or not number.isdecimal():
            return
        self.seconds = int(number) / 1e6
        if self._on_time is not None:
            self._on_time(self.seconds)


def _unreadable(said: str) -> BadSource:
    if "moov atom not found" in said:
        return CorruptSource(
            "The file has no index: its recording or upload was cut off. Please upload the complete file", detail=said
        )
    return CorruptSource(detail=said[-2000:])


def _starts_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start
