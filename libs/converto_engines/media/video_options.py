"""Options of a video, and their translation into a `Choice` of tracks and encoding settings."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from converto_core.errors import BadOptions
from converto_engines.converter import Job
from converto_engines.media import video_encoding, video_plan
from converto_engines.media.video_encoding import EncodingSettings, Preset
from converto_engines.media.video_plan import Choice
from converto_engines.media.window import End, Start, Window

_MAX_SIDE = 16_384

_COPYABLE_SOURCES = frozenset({"mp4", "mov", "mkv", "webm"})
# Options that a copy cannot follow.
_ENCODING_OPTIONS = (
    "video_codec",
    "audio_codec",
    "quality",
    "bitrate_kbps",
    "preset",
    "width",
    "height",
    "fps",
    "start_s",
    "end_s",
    "audio_bitrate_kbps",
    "hardware",
)

_Side = Annotated[int, Meta(ge=16, le=_MAX_SIDE)]


class VideoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of a video."""

    video_codec: Annotated[
        Literal["h264", "h265", "vp9", "av1", "copy"] | None,
        Meta(
            description="Video codec; copy: keep the pictures unchanged. Default: h264, in WebM vp9, or unchanged "
            "when only the container changes and its players support the source's codec"
        ),
    ] = None
    audio_codec: Annotated[
        Literal["aac", "mp3", "ac3", "opus", "vorbis", "flac", "copy"] | None,
        Meta(
            description="Audio codec; copy: keep the sound unchanged. Default: aac, in WebM opus, or unchanged beside "
            "unchanged pictures"
        ),
    ] = None
    quality: Annotated[
        Annotated[int, Meta(ge=0, le=63)] | None,
        Meta(description="CRF: lower is better, with larger files; default 21 (h264), 24 (h265), 31 (vp9), 30 (av1)"),
    ] = None
    bitrate_kbps: Annotated[
        Annotated[int, Meta(ge=10, le=200_000)] | None,
        Meta(description="Average bitrate of the video; not with quality"),
    ] = None
    preset: Annotated[Preset, Meta(description="Slower presets make smaller files of the same quality")] = "medium"
    width: Annotated[_Side | None, Meta(description="Pixels; with height: the box that the video fits into")] = None
    height: Annotated[_Side | None, Meta(description="Pixels; proportions are kept, sides are even")] = None
    fps: Annotated[
        Annotated[float, Meta(ge=1, le=240)] | None, Meta(description="Frames per second; default: as in the source")
    ] = None
    deinterlace: Annotated[bool, Meta(description="Convert interlaced frames to progressive ones")] = True
    start_s: Start = 0.0
    end_s: End = None
    audio: Annotated[Literal["keep", "first", "none"], Meta(description="Sound tracks to keep")] = "keep"
    audio_bitrate_kbps: Annotated[
        Annotated[int, Meta(ge=8, le=768)] | None,
        Meta(description="Bitrate of each sound track; default: by its channels"),
    ] = None
    subtitles: Annotated[Literal["keep", "none"], Meta(description="Whether to keep subtitle tracks")] = "keep"
    chapters: Annotated[Literal["keep", "none"], Meta(description="Whether to keep chapter marks")] = "keep"
    metadata: Annotated[
        Literal["keep", "strip"],
        Meta(description="Whether to keep title, date, location and other metadata; languages always stay"),
    ] = "keep"
    hardware: Annotated[bool, Meta(description="Encode on a graphics card if the worker has a suitable one")] = False


def window_of(job: Job) -> Window:
    return Window(start_s=job.options.start_s, end_s=job.options.end_s)


def _is_chosen(options: VideoOptions) -> bool:
    return options.video_codec not in {None, "copy"}


def encoding_settings(job: Job) -> EncodingSettings:
    options = job.options
    return EncodingSettings(
        codec=options.video_codec if _is_chosen(options) else video_plan.VIDEO_CODECS[job.target_format][0],
        container=job.target_format,
        quality=options.quality,
        bitrate_kbps=options.bitrate_kbps,
        preset=options.preset,
        width=options.width,
        height=options.height,
        fps=options.fps,
        deinterlace=options.deinterlace,
    )


def choice_of(job: Job) -> Choice:
    options, target = job.options, job.target_format
    is_copied = options.video_codec == "copy"
    if is_copied:
        _check_copied(job)
    else:
        video_encoding.check_settings(encoding_settings(job))
        _check_allowed("video_codec", options.video_codec, video_plan.VIDEO_CODECS[target], target)
    _check_allowed("audio_codec", options.audio_codec, (*video_plan.SOUND_CODECS[target], "copy"), target)
    return Choice(
        target=target,
        settings=encoding_settings(job),
        must_copy=is_copied,
        may_copy=_changes_only_the_container(job),
        audio_codec=options.audio_codec or video_plan.SOUND_CODECS[target][0],
        audio=options.audio,
        subtitles=options.subtitles == "keep",
        metadata=options.metadata == "keep",
        chapters=options.chapters == "keep",
        audio_bitrate_kbps=options.audio_bitrate_kbps,
    )


def _changes_only_the_container(job: Job) -> bool:
    """Return whether nothing but another format is asked for, so that tracks may be copied.

    A conversion to the same format without options asks for a smaller file. Of other sources, timestamps and first
    frames are too often unfit for a copy.
    """
    if job.source_format not in _COPYABLE_SOURCES or job.source_format == job.target_format:
        return False
    unchanged = VideoOptions()
    return all(getattr(job.options, name) == getattr(unchanged, name) for name in _ENCODING_OPTIONS)


def _check_copied(job: Job) -> None:
    options = job.options
    changes = ("quality", "bitrate_kbps", "width", "height", "fps")
    if named := [name for name in changes if getattr(options, name) is not None]:
        raise BadOptions(
            f"video_codec copy keeps the pictures unchanged: remove {', '.join(named)} or choose another video_codec"
        )
    if not window_of(job).is_whole:
        raise BadOptions(
            "video_codec copy cannot cut at any frame: remove start_s and end_s, or choose another video_codec"
        )


def _check_allowed(option: str, chosen: str | None, allowed: tuple[str, ...], target: str) -> None:
    if chosen is not None and chosen not in allowed:
        raise BadOptions(f"{option} {chosen} is not available for {target}. Choose one of {', '.join(allowed)}")
