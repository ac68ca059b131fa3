"""Whether a result holds what was planned: tracks, codecs, sizes, length, and every frame decodes. It plans nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from converto_core.errors import CorruptSource, OutputInvalid
from converto_engines.converter import Job
from converto_engines.media import ffmpeg
from converto_engines.media.ffmpeg import Ffmpeg, Taken
from converto_engines.media.probe import Probe, Track
from converto_engines.media.video_plan import Expected

_CHECK_FROM_PERCENT = 95.0
_LENGTH_S = 0.01
_ROUNDING_S = 0.002  # Matroska counts milliseconds
# Sound is coded in frames. These formats cannot say, or not to every reader, how much of the last one is silence.
_UNTOLD = "aac"  # a bare stream does not tell its length; what ffprobe shows is a guess from its first frames
_PADDED_FORMATS = frozenset({"aac", "mkv", "webm"})
_FRAME_SAMPLES = {"aac": 2 * 1024, "opus": 960, "mp3": 1152, "ac3": 1536, "vorbis": 1024, "flac": 4608}
# The last packet of some sources does not tell its own length, so a look at packets alone may miss that much.
_PACKET_S = 0.06
_LONGEST_PACKET_S = 0.5
_LOST_SHARE = 0.01


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the source that was asked for, in seconds; `end_s` None is its end."""

    start_s: float = 0.0
    end_s: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut."""
        return self.start_s == 0 and self.end_s is None

    def length_of(self, source_end_s: float) -> float:
        """How long a track that ends there is after the cut."""
        end_s = source_end_s if self.end_s is None else min(source_end_s, self.end_s)
        return max(end_s - self.start_s, 0.0)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One finished run: what was read, what was planned, what ffmpeg said."""

    source: Probe
    expected: Sequence[Expected]
    window: Window
    taken: Taken
    covers: int = 0
    is_encoded: bool = True


async def check(program: Ffmpeg, job: Job, product: Path, work: Work) -> None:
    """Raise `OutputInvalid` for a wrong result, `CorruptSource` when the source ended before its time."""
    made = await program.probe(job, product, job.target_format)
    if job.target_format == _UNTOLD:
        made = _without_lengths(made)
    _check_tracks(made, work)
    hear = ffmpeg.share_of(
        job.report, made.duration_s, first=_CHECK_FROM_PERCENT, last=100.0, stage="checking the result"
    )
    decoded = await program.decode(job, product, job.target_format, on_time=hear)
    _check_decoded(decoded, made, work)
    await _check_lengths(program, job, _Lengths(made, decoded, job.target_format in _PADDED_FORMATS), work)


def _without_lengths(made: Probe) -> Probe:
    tracks = tuple(msgspec.structs.replace(track, end_s=None) for track in made.tracks)
    return msgspec.structs.replace(made, tracks=tracks, duration_s=None)


class _Lengths:
    """How long the tracks of a result are."""

    def __init__(self, made: Probe, decoded: Taken, is_padded: bool) -> None:
        self.made, self._is_padded = made, is_padded
        # Of a single track decoding tells the exact length; the container may count silence that no player plays.
        self._played_s = decoded.duration_s if len(made.of("video", "audio")) == 1 else None

    def are_near(self, track: Track, wanted_s: float, *, slack_s: float = 0.0) -> bool:
        told = [length_s for length_s in (track.end_s, self._played_s) if length_s is not None]
        limit_s = _tolerance(track, is_padded=self._is_padded) + slack_s
        return not told or min(abs(length_s - wanted_s) for length_s in told) <= limit_s


async def lost_frames(program: Ffmpeg, job: Job, work: Work) -> int:
    """How many frames of a damaged source could not be decoded; raises `CorruptSource` when they are too many."""
    first = next((expected.source.index for expected in work.expected if expected.kind == "video"), None)
    if first is None or not work.taken.complaints.strip() or not work.window.is_whole:
        return 0
    there = (await program.scan(job, first)).frames
    lost = max(there - work.taken.frames, 0)
    if lost > max(1, _LOST_SHARE * there):
        raise CorruptSource(
            f"{lost} of the video's {there} frames are damaged. Please upload an intact copy",
            detail=work.taken.complaints,
        )
    return lost


def _check_tracks(made: Probe, work: Work) -> None:
    planned = [(track.kind, track.codec) for track in work.expected]
    planned += [("cover", "")] * work.covers
    found = [(track.kind, track.codec) for track in made.tracks if track.kind != "data"]
    if len(work.expected) < len(planned):  # covers attached as files may be of either codec
        found = [(kind, "" if kind == "cover" else codec) for kind, codec in found]
    if sorted(found) != sorted(planned):
        raise OutputInvalid("The result does not hold the planned tracks", detail=f"{found} instead of {planned}")
    sizes = [track.size for track in work.expected if track.kind == "video"]
    if (shown := [(track.width, track.height) for track in made.of("video")]) != sizes:
        raise OutputInvalid("The result has pictures of another size", detail=f"{shown} instead of {sizes}")


async def _check_lengths(program: Ffmpeg, job: Job, lengths: _Lengths, work: Work) -> None:
    for kind in ("video", "audio"):
        sources = [expected.source for expected in work.expected if expected.kind == kind]
        for track, source in zip(lengths.made.of(kind), sources, strict=True):
            told_s = source.end_s or work.source.duration_s
            if told_s is not None and not lengths.are_near(track, work.window.length_of(told_s)):
                await _check_against_packets(program, job, source, work, is_held=_near(lengths, track, work))


def _near(lengths: _Lengths, track: Track, work: Work) -> Callable[[float], bool]:
    def is_near(held_s: float) -> bool:
        wanted_s = work.window.length_of(held_s)
        if lengths.are_near(track, wanted_s, slack_s=_PACKET_S):
            return True
        return wanted_s < (track.end_s or 0.0) <= wanted_s + _LONGEST_PACKET_S

    return is_near


async def _check_against_packets(
    program: Ffmpeg, job: Job, source: Track, work: Work, *, is_held: Callable[[float], bool]
) -> None:
    """What the source says of its length may be a guess: what it holds decides, and tells a file that was cut off."""
    held_s = (await program.scan(job, source.index)).duration_s
    told_s = source.end_s or work.source.duration_s or 0.0
    if not is_held(held_s):
        detail = f"track {source.index}: told {told_s} s, held {held_s} s, taken {work.taken.duration_s} s"
        raise OutputInvalid("The result is not as long as the source", detail=detail)
    is_short = held_s < told_s - max(1.0, 0.02 * told_s)
    if is_short and job.source_format not in ffmpeg.WITHOUT_INDEX:
        raise CorruptSource(
            f"The file says it lasts {told_s:.1f} s but holds {held_s:.1f} s: its end is missing. "
            "Please upload the complete file",
        )


def _tolerance(track: Track, *, is_padded: bool) -> float:
    if track.kind == "video":
        return max(1 / track.frame_rate if track.frame_rate else 0.1, _LENGTH_S) + _ROUNDING_S
    padded_s = _FRAME_SAMPLES.get(track.codec, 0) / (track.sample_rate_hz or 48_000) if is_padded else 0.0
    return _LENGTH_S + padded_s + _ROUNDING_S


def _check_decoded(decoded: Taken, made: Probe, work: Work) -> None:
    ends = [
        (track.end_s, _tolerance(track, is_padded=True))
        for track in made.of("video", "audio")
        if track.end_s is not None
    ]
    longest_s, tolerance_s = max(ends, default=(decoded.duration_s, 0.0))
    if decoded.duration_s <= 0 or abs(decoded.duration_s - longest_s) > max(tolerance_s, 0.1):
        detail = f"decoded {decoded.duration_s} s of {longest_s} s"
        raise OutputInvalid("The result does not play to its end", detail=detail)
    if work.is_encoded and made.of("video") and decoded.frames != work.taken.frames:
        detail = f"decoded {decoded.frames} of {work.taken.frames} frames"
        raise OutputInvalid("The result lacks frames", detail=detail)
