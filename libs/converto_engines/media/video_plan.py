"""Plans the tracks of a result: ffmpeg arguments for each, and what the result must contain.

What the container does not support is converted, or left out and noted.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from converto_core.errors import BadOptions, BadSource
from converto_engines.media import sound_encoding, video_encoding
from converto_engines.media.probe import PICTURE_SUBTITLES, Probe, Track
from converto_engines.media.video_encoding import EncodingSettings

_QUICKTIME = frozenset({"mp4", "mov"})
VIDEO_CODECS: Final[dict[str, tuple[video_encoding.Codec, ...]]] = {
    "mp4": ("h264", "h265", "av1", "vp9"),
    "mkv": ("h264", "h265", "vp9", "av1"),
    "mov": ("h264", "h265"),
    "webm": ("vp9", "av1"),
}
"""Codecs offered for each container; the first is the default."""
SOUND_CODECS: Final = {
    "mp4": ("aac", "mp3", "ac3", "opus", "flac"),
    "mkv": ("aac", "mp3", "ac3", "opus", "vorbis", "flac"),
    "mov": ("aac", "mp3", "ac3"),
    "webm": ("opus", "vorbis"),
}
_COPIED_VIDEO = {
    "mp4": {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video"},
    "mov": {"h264", "hevc", "mpeg4", "mpeg2video", "prores", "mjpeg", "dnxhd", "dvvideo"},
    "webm": {"vp8", "vp9", "av1"},
}
_COPIED_SOUND = {
    "mp4": {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"},
    "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"},
    "webm": {"opus", "vorbis"},
}
_SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt"}
_KEPT_SUBTITLES = frozenset({"subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"})
_COVERS = frozenset({"mjpeg", "png"})
# Tags of a QuickTime file that are wrong in any other container.
_QUICKTIME_TAGS = ("major_brand", "minor_version", "compatible_brands")
_QUICKTIME_TRACK_TAGS = ("handler_name", "vendor_id")
# QuickTime has its own list of languages, with bibliographic (English) codes for some.
_QUICKTIME_LANGUAGES = {
    "deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "hye": "arm", "kat": "geo",
}  # fmt: skip
# Statistics that mkvmerge writes about a track; they would describe the source's tracks.
_STALE_TAGS = ("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS_WRITING_APP", "_STATISTICS_TAGS")


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with the tracks; without `settings` the pictures are copied."""

    target: str
    settings: EncodingSettings | None
    audio_codec: str
    audio: str = "keep"
    subtitles: bool = True
    metadata: bool = True
    chapters: bool = True
    audio_bitrate_kbps: int | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """One track that the result must have, and the source's track; `size` only for video."""

    kind: str
    codec: str
    source: Track
    size: tuple[int, int] | None = None


class Plan(msgspec.Struct, kw_only=True):
    """Arguments after the inputs, the resulting tracks in order, and what is left out, in words for users."""

    arguments: list[str] = msgspec.field(default_factory=list)
    expected: list[Expected] = msgspec.field(default_factory=list)
    left_out: list[str] = msgspec.field(default_factory=list)

    def add(self, track: Track, codec: str, options: Sequence[tuple[str, str]], **more: object) -> None:
        """Add a track to the result."""
        place = len(self.expected)
        self.arguments += ["-map", f"0:{track.index}"]
        for name, value in options:
            self.arguments += [f"-{name}:{place}", value]
        kind = more.get("kind", track.kind)
        size = more.get("size")
        self.expected.append(
            Expected(kind=str(kind), codec=codec, source=track, size=size if isinstance(size, tuple) else None)
        )


def plan(probe: Probe, choice: Choice) -> Plan:
    """Plan all tracks; raises `BadSource` without video and `BadOptions` for what the container does not support."""
    made = Plan()
    _video(made, probe, choice)
    _audio(made, probe, choice)
    _subtitles(made, probe, choice)
    _covers(made, probe, choice)
    _attachments(made, probe, choice)
    _metadata(made, probe, choice)
    if choice.target in _QUICKTIME:
        made.arguments += ["-movflags", "+faststart"]
    made.arguments += ["-max_muxing_queue_size", "4096"]
    return made


def _video(made: Plan, probe: Probe, choice: Choice) -> None:
    readable = [track for track in probe.of("video") if track.codec and track.width and track.height]
    if not readable and probe.of("audio"):
        raise BadSource("The file has sound but no video. Choose a sound format, such as mp3 or m4a")
    if not readable:
        raise BadSource("The file has no readable video track")
    _note_unreadable(made, probe, readable, "video")
    for track in readable:
        if choice.settings is None:
            _copy_video(made, track, choice.target)
        else:
            _encode_video(made, track, choice.settings, choice.target)


def _copy_video(made: Plan, track: Track, target: str) -> None:
    if track.codec not in _COPIED_VIDEO.get(target, {track.codec}):
        raise BadOptions(f"{target} does not support {track.codec} video. Choose another video_codec")
    if track.rotation and target not in _QUICKTIME:
        raise BadOptions(f"{target} cannot store the rotation by {track.rotation}°. Choose another video_codec")
    made.add(track, track.codec, [("c", "copy"), *_apple_tag(track.codec, target)], size=(track.width, track.height))


def _encode_video(made: Plan, track: Track, settings: EncodingSettings, target: str) -> None:
    codec = video_encoding.PROBED_NAMES[settings.codec]
    options = [
        *video_encoding.encoder(settings, track.hdr_metadata),
        ("filter", ",".join(video_encoding.filters(track, settings))),
    ]
    # Frames keep their timestamps; only duplicates of a timestamp are dropped. A variable frame rate keeps the source's
    # time base, because a tick of one frame would move the timestamps.
    options += [("fps_mode", "cfr" if settings.fps else "vfr")]
    if not track.has_constant_rate and not settings.fps:
        options += [("enc_time_base", "-1")]
        if target in _QUICKTIME:
            made.arguments += ["-video_track_timescale", "90000"]
    made.add(track, codec, [*options, *_apple_tag(codec, target)], size=video_encoding.size_of(track, settings))
    if track.has_deep_colour and settings.codec == "h264":
        made.left_out.append("shades beyond 8 bits per colour")
    if track.has_alpha and settings.codec != "vp9":
        made.left_out.append("transparency")


def _apple_tag(codec: str, target: str) -> list[tuple[str, str]]:
    """Return the only tag under which Apple's players recognise H.265."""
    return [("tag", "hvc1")] if codec == "hevc" and target in _QUICKTIME else []


def _audio(made: Plan, probe: Probe, choice: Choice) -> None:
    if choice.audio == "none":
        return
    readable = [track for track in probe.of("audio") if track.codec and track.channels and track.sample_rate_hz]
    _note_unreadable(made, probe, readable, "audio")
    for track in readable if choice.audio == "keep" else readable[:1]:
        if choice.audio_codec == "copy" and track.codec not in _COPIED_SOUND.get(choice.target, {track.codec}):
            raise BadOptions(f"{choice.target} does not support {track.codec} sound. Choose another audio_codec")
        if choice.audio_codec == "copy":
            made.add(track, track.codec, [("c", "copy")])
            continue
        options = sound_encoding.encoder(choice.audio_codec, track, bitrate_kbps=choice.audio_bitrate_kbps)
        made.add(track, choice.audio_codec, [*options, *sound_encoding.layout(choice.audio_codec, track)])


def _note_unreadable(made: Plan, probe: Probe, readable: Sequence[Track], kind: str) -> None:
    count = len(probe.of(kind)) - len(readable)
    if count:
        made.left_out.append(_counted(count, f"unreadable {kind} track"))


def _subtitles(made: Plan, probe: Probe, choice: Choice) -> None:
    if not choice.subtitles:
        return
    dropped = 0
    for track in probe.of("subtitle"):
        codec = _subtitle_codec(track, choice.target)
        if codec is None:
            dropped += 1
            continue
        is_kept = codec == track.codec
        made.add(track, codec, [("c", "copy" if is_kept else "srt" if codec == "subrip" else codec)])
    if dropped:
        made.left_out.append(_counted(dropped, "subtitle track made of pictures"))


def _subtitle_codec(track: Track, target: str) -> str | None:
    """Return the codec to keep or convert to; None for pictures, which cannot be converted to text."""
    if target == "mkv" and track.codec in _KEPT_SUBTITLES:
        return track.codec
    if track.codec in PICTURE_SUBTITLES or not track.codec:
        return None
    return _SUBTITLES.get(target, "subrip")


def _covers(made: Plan, probe: Probe, choice: Choice) -> None:
    """Plan covers as tracks in MP4; in Matroska they are attached files, which `video.py` adds."""
    covers = [track for track in probe.of("cover") if track.codec in _COVERS]
    kept = covers if choice.target in {"mp4", "mkv"} else []
    if choice.target == "mp4":
        for track in kept:
            made.add(track, track.codec, [("c", "copy"), ("disposition", "attached_pic")])
    if left := len(probe.of("cover")) - len(kept):
        made.left_out.append(_counted(left, "cover picture"))


def _attachments(made: Plan, probe: Probe, choice: Choice) -> None:
    attachments = probe.of("attachment")
    if choice.target != "mkv":
        if attachments:
            made.left_out.append(_counted(len(attachments), "attached file"))
        return
    for track in attachments:
        made.add(track, track.codec, [("c", "copy")])


def _metadata(made: Plan, probe: Probe, choice: Choice) -> None:
    made.arguments += ["-map_metadata", "0" if choice.metadata else "-1"]
    made.arguments += ["-map_chapters", "0" if choice.chapters else "-1"]
    is_foreign = choice.target not in _QUICKTIME
    for name in _QUICKTIME_TAGS if is_foreign else ():
        made.arguments += ["-metadata", f"{name}="]
    for place, expected in enumerate(made.expected):
        # An attachment needs its name and type even when all other metadata is removed. Mapping the metadata of one
        # track turns off ffmpeg's default for all, so every track is mapped.
        if choice.metadata or expected.kind == "attachment":
            made.arguments += [f"-map_metadata:s:{place}", f"0:s:{expected.source.index}"]
        if expected.kind == "attachment":
            continue
        for name in (*_STALE_TAGS, *(_QUICKTIME_TRACK_TAGS if is_foreign else ())):
            made.arguments += [f"-metadata:s:{place}", f"{name}="]
        if expected.source.language.isalpha() and (not choice.metadata or choice.target == "mov"):
            language = expected.source.language[:8]
            known = _QUICKTIME_LANGUAGES.get(language, language) if choice.target == "mov" else language
            made.arguments += [f"-metadata:s:{place}", f"language={known}"]
    lost = [track for track in probe.of("data") if track.tags[:1] not in {("tmcd",), ("text",)}]
    if lost:
        made.left_out.append(_counted(len(lost), "data track"))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
