"""Which tracks of a video go where and as what: the argument list of one ffmpeg run, and what its result must hold.

It starts nothing. What a container cannot hold is converted, or left out and said.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from converto_core.errors import BadOptions, BadSource
from converto_engines.media import sound_encoding, video_encoding
from converto_engines.media.probe import PICTURE_SUBTITLES, Probe, Track
from converto_engines.media.video_encoding import Wish

_QUICKTIME = frozenset({"mp4", "mov"})
VIDEO_CODECS: Final[dict[str, tuple[video_encoding.Codec, ...]]] = {
    "mp4": ("h264", "h265", "av1", "vp9"),
    "mkv": ("h264", "h265", "vp9", "av1"),
    "mov": ("h264", "h265"),
    "webm": ("vp9", "av1"),
}
"""What is encoded into each container; the first is the default."""
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
# What a QuickTime file says of itself, which is wrong in any other container.
_QUICKTIME_TAGS = ("major_brand", "minor_version", "compatible_brands")
_QUICKTIME_TRACK_TAGS = ("handler_name", "vendor_id")
# QuickTime has a list of languages of its own, which names some by their English names.
_QUICKTIME_LANGUAGES = {
    "deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "hye": "arm", "kat": "geo",
}  # fmt: skip
# Statistics that mkvmerge writes about a track; they would tell of the source's tracks.
_STALE_TAGS = ("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS_WRITING_APP", "_STATISTICS_TAGS")


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with the tracks; `wish` None copies the pictures as they are."""

    target: str
    wish: Wish | None
    sound: str
    audio: str = "keep"
    subtitles: bool = True
    metadata: bool = True
    chapters: bool = True
    audio_bitrate_kbps: int | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """One track that the result must have; `source` is where it comes from, `size` of pictures only."""

    kind: str
    codec: str
    source: Track
    size: tuple[int, int] | None = None


class Plan(msgspec.Struct, kw_only=True):
    """Arguments after the inputs, the tracks they make in order, and what is left out, in a person's words."""

    arguments: list[str] = msgspec.field(default_factory=list)
    expected: list[Expected] = msgspec.field(default_factory=list)
    left_out: list[str] = msgspec.field(default_factory=list)

    def add(self, track: Track, codec: str, options: Sequence[tuple[str, str]], **more: object) -> None:
        """One more track of the result, made from a track of the source."""
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
    """The whole plan; raises `BadSource` without any picture and `BadOptions` for what the container cannot hold."""
    made = Plan()
    _videos(made, probe, choice)
    _sounds(made, probe, choice)
    _subtitles(made, probe, choice)
    _covers(made, probe, choice)
    _attachments(made, probe, choice)
    _words(made, probe, choice)
    if choice.target in _QUICKTIME:
        made.arguments += ["-movflags", "+faststart"]
    made.arguments += ["-max_muxing_queue_size", "4096"]
    return made


def _videos(made: Plan, probe: Probe, choice: Choice) -> None:
    readable = [track for track in probe.of("video") if track.codec and track.width and track.height]
    if not readable and probe.of("audio"):
        raise BadSource("The file has sound but no picture. Please choose a sound format, such as mp3 or m4a")
    if not readable:
        raise BadSource("The file has no picture that converto can read")
    _say_unread(made, probe, readable, "video")
    for track in readable:
        if choice.wish is None:
            _copy_video(made, track, choice.target)
        else:
            _encode_video(made, track, choice.wish, choice.target)


def _copy_video(made: Plan, track: Track, target: str) -> None:
    if track.codec not in _COPIED_VIDEO.get(target, {track.codec}):
        raise BadOptions(f"{target} cannot hold {track.codec} pictures as they are. Choose a video_codec")
    if track.rotation and target not in _QUICKTIME:
        raise BadOptions(f"{target} cannot say that the video is turned by {track.rotation}°. Choose a video_codec")
    made.add(track, track.codec, [("c", "copy"), *_apple_tag(track.codec, target)], size=(track.width, track.height))


def _encode_video(made: Plan, track: Track, wish: Wish, target: str) -> None:
    codec = video_encoding.PROBED_NAMES[wish.codec]
    options = [*video_encoding.encoder(wish, track.light), ("filter", ",".join(video_encoding.filters(track, wish)))]
    # Frames keep their own moments; only those at the very moment of another are dropped. An unsteady source is
    # counted in its own ticks, since the usual tick of one frame would move them.
    options += [("fps_mode", "cfr" if wish.fps else "vfr")]
    if not track.is_steady and not wish.fps:
        options += [("enc_time_base", "-1")]
        if target in _QUICKTIME:
            made.arguments += ["-video_track_timescale", "90000"]
    made.add(track, codec, [*options, *_apple_tag(codec, target)], size=video_encoding.size_of(track, wish))
    if track.is_deep and wish.codec == "h264":
        made.left_out.append("shades beyond 8 bits per colour")
    if track.has_alpha and wish.codec != "vp9":
        made.left_out.append("transparency")


def _apple_tag(codec: str, target: str) -> list[tuple[str, str]]:
    """Apple's players know H.265 under this name only."""
    return [("tag", "hvc1")] if codec == "hevc" and target in _QUICKTIME else []


def _sounds(made: Plan, probe: Probe, choice: Choice) -> None:
    if choice.audio == "none":
        return
    readable = [track for track in probe.of("audio") if track.codec and track.channels and track.sample_rate_hz]
    _say_unread(made, probe, readable, "audio")
    for track in readable if choice.audio == "keep" else readable[:1]:
        if choice.sound == "copy" and track.codec not in _COPIED_SOUND.get(choice.target, {track.codec}):
            raise BadOptions(f"{choice.target} cannot hold {track.codec} sound as it is. Choose an audio_codec")
        if choice.sound == "copy":
            made.add(track, track.codec, [("c", "copy")])
            continue
        options = sound_encoding.encoder(choice.sound, track, bitrate_kbps=choice.audio_bitrate_kbps)
        made.add(track, choice.sound, [*options, *sound_encoding.layout(choice.sound, track)])


def _say_unread(made: Plan, probe: Probe, readable: Sequence[Track], kind: str) -> None:
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
    """As it is where the container can; else converted, which only works for text."""
    if target == "mkv" and track.codec in _KEPT_SUBTITLES:
        return track.codec
    if track.codec in PICTURE_SUBTITLES or not track.codec:
        return None
    return _SUBTITLES.get(target, "subrip")


def _covers(made: Plan, probe: Probe, choice: Choice) -> None:
    """In MP4 a cover is a track; in Matroska an attached file, which `video.py` adds as an input of its own."""
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


def _words(made: Plan, probe: Probe, choice: Choice) -> None:
    made.arguments += ["-map_metadata", "0" if choice.metadata else "-1"]
    made.arguments += ["-map_chapters", "0" if choice.chapters else "-1"]
    is_foreign = choice.target not in _QUICKTIME
    for name in _QUICKTIME_TAGS if is_foreign else ():
        made.arguments += ["-metadata", f"{name}="]
    for place, expected in enumerate(made.expected):
        # Without its name and type an attachment cannot be written, even when all other metadata is to go. Said for
        # one track it has to be said for all: ffmpeg then no longer copies any by itself.
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
