"""Verifies a result against its plan: tracks, codecs, sizes, lengths, and that every frame decodes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from converto_core.errors import CorruptSource, OutputInvalid
from converto_engines.converter import Job
from converto_engines.media import ffmpeg
from converto_engines.media.ffmpeg import Ffmpeg, RunResult
from converto_engines.media.probe import Probe, Track
from converto_engines.media.video_plan import Expected
from converto_engines.media.window import Window

_CHECK_FROM_PERCENT = 95.0
_LENGTH_S = 0.01
_ROUNDING_S = 0.002  # Matroska stores milliseconds
_WITHOUT_LENGTH = "aac"  # raw AAC stores no length; ffprobe estimates one from the first frames
# Sound is coded in frames. These formats do not record (or not for every reader) how much of the last one is padding.
_PADDED_FORMATS = frozenset({"aac", "mkv", "webm"})
_FRAME_SAMPLES = {"aac": 2 * 1024, "opus": 960, "mp3": 2 * 1152, "ac3": 1536, "vorbis": 1024, "flac": 4608}
# Some sources do not record the duration of their last packet, so the packets alone may be that much too short.
_PACKET_S = 0.06
_MAX_PACKET_S = 0.5
_MAX_LOST_SHARE = 0.01


class CompletedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One completed run of ffmpeg, with its source and plan; `covers` counts attached cover pictures."""

    source: Probe
    expected: Sequence[Expected]
    window: Window
    run: RunResult
    covers: int = 0
    is_encoded: bool = True


async def check(program: Ffmpeg, job: Job, product: Path, completed: CompletedRun) -> None:
    """Raise `OutputInvalid` for a wrong result, `CorruptSource` when the source is truncated."""
    result = await program.probe(job, product, job.target_format)
    if job.target_format == _WITHOUT_LENGTH:
        result = _without_lengths(result)
    _check_tracks(result, completed)
    on_time = ffmpeg.progress_between(
        job.report, result.duration_s, first=_CHECK_FROM_PERCENT, last=100.0, stage="checking the result"
    )
    decoded = await program.decode(job, product, job.target_format, on_time=on_time)
    _check_decoded(decoded, result, completed)
    await _check_lengths(program, job, _Lengths(result, decoded, job.target_format in _PADDED_FORMATS), completed)


def _without_lengths(result: Probe) -> Probe:
    tracks = tuple(msgspec.structs.replace(track, end_s=None) for track in result.tracks)
    return msgspec.structs.replace(result, tracks=tracks, duration_s=None)


class _Lengths:
    """Compares the lengths of a result's tracks with expected ones."""

    def __init__(self, result: Probe, decoded: RunResult, is_padded: bool) -> None:
        self.result, self._is_padded = result, is_padded
        # Decoding a single track gives its exact length; the container may count padding that no player plays.
        self._played_s = decoded.duration_s if len(result.of("video", "audio")) == 1 else None

    def are_near(self, track: Track, expected_s: float, *, slack_s: float = 0.0) -> bool:
        lengths_s = [length_s for length_s in (track.end_s, self._played_s) if length_s is not None]
        limit_s = _tolerance(track, is_padded=self._is_padded) + slack_s
        return not lengths_s or min(abs(length_s - expected_s) for length_s in lengths_s) <= limit_s


async def lost_frames(program: Ffmpeg, job: Job, completed: CompletedRun) -> int:
    """Count the frames of a damaged source that could not be decoded; raises `CorruptSource` for too many."""
    first = next((expected.source.index for expected in completed.expected if expected.kind == "video"), None)
    if first is None or not completed.run.log.strip() or not completed.window.is_whole:
        return 0
    frames = (await program.scan(job, first)).frames
    lost = max(frames - completed.run.frames, 0)
    if lost > max(1, _MAX_LOST_SHARE * frames):
        raise CorruptSource(
            f"{lost} of the video's {frames} frames are damaged. Upload an intact copy",
            detail=completed.run.log,
        )
    return lost


def _check_tracks(result: Probe, completed: CompletedRun) -> None:
    planned = [(track.kind, track.codec) for track in completed.expected]
    planned += [("cover", "")] * completed.covers
    found = [(track.kind, track.codec) for track in result.tracks if track.kind != "data"]
    if len(completed.expected) < len(planned):  # covers attached as files may be of either codec
        found = [(kind, "" if kind == "cover" else codec) for kind, codec in found]
    if sorted(found) != sorted(planned):
        raise OutputInvalid("The result does not have the planned tracks", detail=f"{found} instead of {planned}")
    sizes = [track.size for track in completed.expected if track.kind == "video"]
    if (shown := [(track.width, track.height) for track in result.of("video")]) != sizes:
        raise OutputInvalid("The frames of the result have the wrong size", detail=f"{shown} instead of {sizes}")


async def _check_lengths(program: Ffmpeg, job: Job, lengths: _Lengths, completed: CompletedRun) -> None:
    for kind in ("video", "audio"):
        sources = [expected.source for expected in completed.expected if expected.kind == kind]
        for track, source in zip(lengths.result.of(kind), sources, strict=True):
            declared_s = source.end_s or completed.source.duration_s
            if declared_s is not None and not lengths.are_near(track, completed.window.length_of(declared_s)):
                await _check_against_packets(program, job, source, completed, is_near=_near(lengths, track, completed))


def _near(lengths: _Lengths, track: Track, completed: CompletedRun) -> Callable[[float], bool]:
    def is_near(packets_s: float) -> bool:
        expected_s = completed.window.length_of(packets_s)
        if lengths.are_near(track, expected_s, slack_s=_PACKET_S):
            return True
        return expected_s < (track.end_s or 0.0) <= expected_s + _MAX_PACKET_S

    return is_near


async def _check_against_packets(
    program: Ffmpeg, job: Job, source: Track, completed: CompletedRun, *, is_near: Callable[[float], bool]
) -> None:
    """Compare with the source's packets, because its declared length may be a guess, and detect a truncated source."""
    packets_s = (await program.scan(job, source.index)).duration_s
    declared_s = source.end_s or completed.source.duration_s or 0.0
    if not is_near(packets_s):
        lengths = f"declared {declared_s} s, packets {packets_s} s, converted {completed.run.duration_s} s"
        raise OutputInvalid("The result is not as long as the source", detail=f"track {source.index}: {lengths}")
    check_end(job, declared_s, packets_s)


def check_end(job: Job, declared_s: float, packets_s: float) -> None:
    """Raise `CorruptSource` for a source whose packets end long before its declared length."""
    is_short = packets_s < declared_s - max(1.0, 0.02 * declared_s)
    if is_short and job.source_format not in ffmpeg.WITHOUT_INDEX:
        raise CorruptSource(
            f"The end of the file is missing: it should last {declared_s:.1f} s but holds {packets_s:.1f} s. "
            "Upload the complete file",
        )


def _tolerance(track: Track, *, is_padded: bool) -> float:
    if track.kind == "video":
        return max(1 / track.frame_rate if track.frame_rate else 0.1, _LENGTH_S) + _ROUNDING_S
    padded_s = _FRAME_SAMPLES.get(track.codec, 0) / (track.sample_rate_hz or 48_000) if is_padded else 0.0
    return _LENGTH_S + padded_s + _ROUNDING_S


def _check_decoded(decoded: RunResult, result: Probe, completed: CompletedRun) -> None:
    ends = [
        (track.end_s, _tolerance(track, is_padded=True))
        for track in result.of("video", "audio")
        if track.end_s is not None
    ]
    longest_s, tolerance_s = max(ends, default=(decoded.duration_s, 0.0))
    if decoded.duration_s <= 0 or abs(decoded.duration_s - longest_s) > max(tolerance_s, 0.1):
        detail = f"decoded {decoded.duration_s} s of {longest_s} s"
        raise OutputInvalid("The result cannot be played to the end", detail=detail)
    if completed.is_encoded and result.of("video") and decoded.frames != completed.run.frames:
        detail = f"decoded {decoded.frames} of {completed.run.frames} frames"
        raise OutputInvalid("The result lacks frames", detail=detail)
