"""Plans the tracks of a result: ffmpeg arguments for each, and what the result must contain.

What the container does not support is converted, or left out and noted.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from converto_core.errors import BadOptions, BadSource
from converto_engines.media import sound_encoding, video_encoding
from converto_engines.media.probe import PICTURE_SUBTITLES, Probe, Track
from converto_engines.media.source_checks import check_readable
from converto_engines.media.video_encoding import EncodingSettings, keeps_alpha

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
# Copied without being asked: what every player of the format plays, not all that the container can hold.
_PLAYED_VIDEO = {
    "mp4": {"h264"},
    "mkv": {"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "theora", "ffv1"},
    "mov": {"h264"},
    "webm": {"vp8", "vp9", "av1"},
}
_PLAYED_SOUND = {
    "mp4": {"aac", "mp3"},
    "mkv": {"aac", "mp3", "ac3", "eac3", "opus", "vorbis", "flac", "dts"},
    "mov": {"aac", "mp3"},
    "webm": {"opus", "vorbis"},
}
_PLAYED_H264_FORMATS = frozenset({"yuv420p", "yuvj420p"})
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
    """What to do with the tracks. `must_copy`: the pictures are copied, and only encoded where that would be wrong.

    `may_copy`: pictures and sound that every player of the target plays are copied, the rest is encoded.
    """

    target: str
    settings: EncodingSettings
    must_copy: bool = False
    may_copy: bool = False
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
    is_copied: bool = False


class Plan(msgspec.Struct, kw_only=True):
    """Arguments after the inputs, the resulting tracks in order, and in words for users what is left out.

    `notes` are whole sentences about everything else that users should know.
    """

    arguments: list[str] = msgspec.field(default_factory=list)
    expected: list[Expected] = msgspec.field(default_factory=list)
    left_out: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def copies_pictures(self) -> bool:
        """Whether all video tracks are copied."""
        return all(expected.is_copied for expected in self.expected if expected.kind == "video")

    def add(
        self, track: Track, codec: str, options: Sequence[tuple[str, str]], *, size: tuple[int, int] | None = None
    ) -> None:
        """Add a track to the result."""
        place = len(self.expected)
        self.arguments += ["-map", f"0:{track.index}"]
        for name, value in options:
            self.arguments += [f"-{name}:{place}", value]
        is_copied = ("c", "copy") in options
        self.expected.append(Expected(kind=track.kind, codec=codec, source=track, size=size, is_copied=is_copied))


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
    if any(expected.codec == "flac" for expected in made.expected) and choice.target == "mp4":
        made.arguments += ["-strict", "experimental"]  # ffmpeg 5 asks for it, though the format is standardised
    made.arguments += ["-max_muxing_queue_size", "4096"]
    return made


def _video(made: Plan, probe: Probe, choice: Choice) -> None:
    if not probe.of("video") and probe.of("audio"):
        raise BadSource("The file has sound but no video. Choose a sound format, such as mp3 or m4a")
    check_readable(probe, "video")
    readable = probe.readable("video")
    _note_unreadable(made, probe, readable, "video")
    for track in readable:
        if _copies_video(made, track, choice):
            _copy_video(made, track, choice.target)
        else:
            _encode_video(made, track, choice.settings)


def _copies_video(made: Plan, track: Track, choice: Choice) -> bool:
    if choice.must_copy:
        return not _is_trimmed(made, track, choice, "video")
    return choice.may_copy and _is_played(track, choice.target)


def _is_trimmed(made: Plan, track: Track, choice: Choice, what: str) -> bool:
    """Return whether a copy would show what the source hides, and note that the track is encoded instead."""
    if not track.hidden_s or choice.target in _QUICKTIME:
        return False
    made.notes.append(
        f"The {what} was encoded anew instead of copied: the source hides {track.hidden_s:.1f} s of it, which "
        f"{choice.target} cannot do"
    )
    return True


def _is_played(track: Track, target: str) -> bool:
    """Return whether players of the target play this video as it is, so that a copy is better than a new encode."""
    if track.rotation or track.is_interlaced or track.hidden_s or track.codec not in _PLAYED_VIDEO[target]:
        return False
    return target not in _QUICKTIME or track.pixel_format in _PLAYED_H264_FORMATS


def _copy_video(made: Plan, track: Track, target: str) -> None:
    if track.codec not in _COPIED_VIDEO.get(target, {track.codec}):
        raise BadOptions(f"{target} does not support {track.codec} video. Choose another video_codec")
    if track.rotation and target not in _QUICKTIME:
        raise BadOptions(f"{target} cannot store the rotation by {track.rotation}°. Choose another video_codec")
    if track.has_alpha and target not in video_encoding.ALPHA_CONTAINERS and track.codec in {"vp8", "vp9"}:
        made.left_out.append("transparency")
    made.add(track, track.codec, [("c", "copy"), *_apple_tag(track.codec, target)], size=(track.width, track.height))


def _encode_video(made: Plan, track: Track, settings: EncodingSettings) -> None:
    target = settings.container
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
    _note_lost_colours(made, track, settings)


def _note_lost_colours(made: Plan, track: Track, settings: EncodingSettings) -> None:
    if video_encoding.is_tone_mapped(track, settings):
        others = " or ".join(codec for codec in VIDEO_CODECS[settings.container] if codec != "h264")
        made.left_out.append(f"the high dynamic range (HDR), mapped to common screens; video_codec {others} keeps it")
    elif track.has_deep_colour and settings.codec == "h264":
        made.left_out.append("shades beyond 8 bits per colour")
    if track.is_hdr and settings.codec == "vp9" and track.hdr_metadata and not track.stores_hdr_metadata:
        made.left_out.append("what the file says about the screen it was mastered on")
    if track.has_alpha and not keeps_alpha(track, settings):
        made.left_out.append("transparency: the background is white")


def _apple_tag(codec: str, target: str) -> list[tuple[str, str]]:
    """Return the only tag under which Apple's players recognise H.265."""
    return [("tag", "hvc1")] if codec == "hevc" and target in _QUICKTIME else []


def _audio(made: Plan, probe: Probe, choice: Choice) -> None:
    if choice.audio == "none":
        return
    readable = probe.readable("audio")
    _note_unreadable(made, probe, readable, "audio")
    for track in readable if choice.audio == "keep" else readable[:1]:
        if _copies_sound(made, track, choice):
            made.add(track, track.codec, [("c", "copy")])
            continue
        codec = SOUND_CODECS[choice.target][0] if choice.audio_codec == "copy" else choice.audio_codec
        options = sound_encoding.encoder(codec, track, bitrate_kbps=choice.audio_bitrate_kbps)
        made.add(track, codec, [*options, *sound_encoding.layout(codec, track)])


def _copies_sound(made: Plan, track: Track, choice: Choice) -> bool:
    """Return whether sound is copied: always on request, else where the pictures beside it are copied too."""
    if choice.audio_codec != "copy":
        is_played = track.codec in _PLAYED_SOUND[choice.target] and not track.hidden_s
        return choice.may_copy and made.copies_pictures and is_played
    if track.codec not in _COPIED_SOUND.get(choice.target, {track.codec}):
        raise BadOptions(f"{choice.target} does not support {track.codec} sound. Choose another audio_codec")
    return not _is_trimmed(made, track, choice, "sound")


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
        made.arguments += _alpha_mark(place, expected, choice)
        for name in (*_STALE_TAGS, *(_QUICKTIME_TRACK_TAGS if is_foreign else ())):
            made.arguments += [f"-metadata:s:{place}", f"{name}="]
        if expected.source.language.isalpha() and (not choice.metadata or choice.target == "mov"):
            language = expected.source.language[:8]
            known = _QUICKTIME_LANGUAGES.get(language, language) if choice.target == "mov" else language
            made.arguments += [f"-metadata:s:{place}", f"language={known}"]
    lost = [track for track in probe.of("data") if track.tags[:1] not in {("tmcd",), ("text",)}]
    if lost:
        made.left_out.append(_counted(len(lost), "data track"))


def _alpha_mark(place: int, expected: Expected, choice: Choice) -> list[str]:
    """Return the metadata by which readers of Matroska know of transparency; it must say what the result holds."""
    source = expected.source
    if not source.has_alpha or choice.target not in video_encoding.ALPHA_CONTAINERS:
        return []
    is_kept = source.codec in {"vp8", "vp9"} if expected.is_copied else keeps_alpha(source, choice.settings)
    return [f"-metadata:s:{place}", f"alpha_mode={'1' if is_kept else ''}"]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
