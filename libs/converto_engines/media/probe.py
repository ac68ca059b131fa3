"""Parses ffprobe's JSON into typed tracks; all values come from an untrusted file, so each is checked."""

import math
from pathlib import Path
from typing import Any

import msgspec

from converto_core.errors import CorruptSource

_UNKNOWN = frozenset({"", "none", "unknown"})
_UNHEARD_S = 0.1  # encoders of sound hide about two packets of run-up, which nobody would notice
_NO_COLOUR = frozenset({"unknown", "unspecified", "reserved"})
_DEEP_FORMATS = ("p10", "p12", "p14", "p16", "10le", "12le", "16le", "10be", "12be", "16be", "48", "64")
_ALPHA = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16")
PICTURE_SUBTITLES = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"})


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. `kind` is video, audio, subtitle, attachment, cover or data; unknown numbers are 0.

    `end_s` counts from the start of the file's first track. `pixel_aspect` is a pixel's width over its height.
    `transfer`, `primaries` and `matrix` describe the colours in ffmpeg's names, empty if unknown. `hdr_metadata` holds
    x265 parameters for the mastering display; `stores_hdr_metadata` says that the container stores it too.
    `hidden_s` is how much an edit list hides; it is read only for tracks that may be copied.
    """

    index: int
    kind: str
    codec: str
    width: int = 0
    height: int = 0
    pixel_format: str = ""
    pixel_aspect: float = 1.0
    rotation: int = 0
    frame_rate: float = 0.0
    has_constant_rate: bool = True
    is_interlaced: bool = False
    transfer: str = ""
    primaries: str = ""
    matrix: str = ""
    sample_rate_hz: int = 0
    channels: int = 0
    bits: int = 0
    is_float: bool = False
    language: str = ""
    end_s: float | None = None
    tags: tuple[str, ...] = ()
    has_alpha: bool = False
    hdr_metadata: str = ""
    stores_hdr_metadata: bool = False
    hidden_s: float = 0.0
    is_default: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether its codec is known, and its size or its channels and sample rate are."""
        shape = (self.channels, self.sample_rate_hz) if self.kind == "audio" else (self.width, self.height)
        return bool(self.codec) and all(shape)

    @property
    def has_deep_colour(self) -> bool:
        """Whether it has more than 8 bits per colour."""
        return any(part in self.pixel_format for part in _DEEP_FORMATS)

    @property
    def is_rgb(self) -> bool:
        """Whether it stores RGB or a palette instead of YUV."""
        return self.pixel_format.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2"))

    @property
    def is_hdr(self) -> bool:
        """Whether it has a high dynamic range (PQ or HLG)."""
        return self.transfer in {"smpte2084", "arib-std-b67"}

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height after the rotation in the file's metadata."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """All tracks of a file in order, and its declared length (None if unknown)."""

    tracks: tuple[Track, ...]
    duration_s: float | None
    chapters: int = 0

    def readable(self, kind: str) -> list[Track]:
        """Return the tracks of this kind that can be decoded, as far as the analysis tells."""
        return [track for track in self.of(kind) if track.is_readable]

    def of(self, *kinds: str) -> tuple[Track, ...]:
        """Return the tracks of these kinds."""
        return tuple(track for track in self.tracks if track.kind in kinds)


def read_probe(path: Path, *, counts_frames: bool = False) -> Probe:
    """Parse ffprobe's answer; raises `CorruptSource` when it has no stream.

    `counts_frames`: derive lengths from the declared number of frames instead of ffprobe's duration.
    """
    try:
        answer = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        answer = {}
    streams = answer.get("streams") if isinstance(answer, dict) else None
    if not isinstance(streams, list) or not streams:
        raise CorruptSource(detail="ffprobe found no stream")
    whole = answer.get("format") or {}
    duration_s = _seconds(whole.get("duration"))
    tracks = tuple(_track(stream, _number(whole.get("start_time"))) for stream in streams)
    if counts_frames:
        counts = [_whole(stream.get("nb_frames")) for stream in streams]
        tracks = tuple(_as_counted(track, count) for track, count in zip(tracks, counts, strict=True))
    return Probe(tracks=tracks, duration_s=duration_s, chapters=len(answer.get("chapters") or ()))


def read_first_frame(path: Path) -> dict[str, dict[str, str]]:
    """Parse the side data of a first frame, by type; empty when there is none."""
    try:
        answer = msgspec.json.decode(path.read_bytes(), type=_Frames)
    except (OSError, msgspec.DecodeError):
        return {}
    entries = [entry for frame in answer.frames for entry in frame.side_data_list]
    return {str(entry.get("side_data_type")): {name: str(value) for name, value in entry.items()} for entry in entries}


class _Frame(msgspec.Struct):
    side_data_list: list[dict[str, Any]] = []


class _Frames(msgspec.Struct):
    frames: list[_Frame] = []


def read_hidden(path: Path) -> dict[int, float]:
    """Parse packets (track, seconds, flags) and return the seconds of each track that players must not show."""
    hidden: dict[int, float] = {}
    with path.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            track, _, rest = line.strip().partition(",")
            seconds, _, flags = rest.partition(",")
            if "D" in flags and track.isdecimal():
                hidden[int(track)] = hidden.get(int(track), 0.0) + _number(seconds)
    return {track: seconds for track, seconds in hidden.items() if seconds > _UNHEARD_S}


def _track(stream: dict[str, Any], start_s: float) -> Track:
    disposition = stream.get("disposition") or {}
    tags = {str(name).lower(): str(value) for name, value in (stream.get("tags") or {}).items()}
    codec, pixel_format = str(stream.get("codec_name", "")), str(stream.get("pix_fmt", ""))
    return Track(
        index=int(stream.get("index", 0)),
        kind=_kind(stream, disposition),
        codec="" if codec in _UNKNOWN else codec,
        width=_whole(stream.get("width")),
        height=_whole(stream.get("height")),
        pixel_format=pixel_format,
        pixel_aspect=_ratio(stream.get("sample_aspect_ratio")) or 1.0,
        rotation=_rotation(stream, tags),
        frame_rate=_ratio(stream.get("avg_frame_rate")) or _ratio(stream.get("r_frame_rate")),
        has_constant_rate=_has_constant_rate(stream),
        is_interlaced=stream.get("field_order") in {"tt", "bb", "tb", "bt"},
        transfer=_known(stream, "color_transfer"),
        primaries=_known(stream, "color_primaries"),
        matrix=_known(stream, "color_space"),
        sample_rate_hz=_whole(stream.get("sample_rate")),
        channels=_whole(stream.get("channels")),
        bits=_bits(stream),
        is_float=str(stream.get("sample_fmt", "")).startswith(("flt", "dbl")),
        language=tags.get("language", ""),
        end_s=_end(stream, tags, start_s),
        tags=(str(stream.get("codec_tag_string", "")), *tags),
        has_alpha=pixel_format.startswith(_ALPHA) or tags.get("alpha_mode") == "1",
        stores_hdr_metadata=any(
            entry.get("side_data_type") == "Mastering display metadata" for entry in stream.get("side_data_list") or ()
        ),
        is_default=bool(disposition.get("default")),
    )


def _known(stream: dict[str, Any], name: str) -> str:
    value = str(stream.get(name, ""))
    return "" if value in _NO_COLOUR else value


def _as_counted(track: Track, frames: int) -> Track:
    if track.kind != "video" or not track.frame_rate or not frames:
        return track
    return msgspec.structs.replace(track, end_s=max(track.end_s or 0.0, frames / track.frame_rate))


def _kind(stream: dict[str, Any], disposition: dict[str, Any]) -> str:
    kind = str(stream.get("codec_type", "data"))
    if kind == "video" and disposition.get("attached_pic"):
        return "cover"
    return kind if kind in {"video", "audio", "subtitle", "attachment"} else "data"


def _bits(stream: dict[str, Any]) -> int:
    bits = _whole(stream.get("bits_per_raw_sample")) or _whole(stream.get("bits_per_sample"))
    return bits or {"u8": 8, "s16": 16, "s32": 32, "flt": 32, "dbl": 64}.get(
        str(stream.get("sample_fmt", "")).removesuffix("p"), 0
    )


def _has_constant_rate(stream: dict[str, Any]) -> bool:
    average, lowest = _ratio(stream.get("avg_frame_rate")), _ratio(stream.get("r_frame_rate"))
    return average > 0 and abs(average - lowest) <= 0.001 * average


def _rotation(stream: dict[str, Any], tags: dict[str, str]) -> int:
    for entry in stream.get("side_data_list") or ():
        if "rotation" in entry:
            return round(_number(entry["rotation"])) % 360
    return round(_number(tags.get("rotate"))) % 360


def _seconds(value: Any) -> float | None:
    seconds = _number(value)
    return seconds if seconds > 0 else None


def _end(stream: dict[str, Any], tags: dict[str, str], start_s: float) -> float | None:
    if length_s := _seconds(stream.get("duration")):
        return _number(stream.get("start_time")) + length_s - start_s
    end_s = _clock(tags.get("duration", ""))  # Matroska stores the end of a track, in a tag only
    return None if end_s is None else end_s - start_s


def _clock(text: str) -> float | None:
    """Parse 00:01:02.500000000 to seconds."""
    parts = text.split(":")
    if len(parts) != 3:
        return None
    hours, minutes, seconds = map(_number, parts)
    return hours * 3600 + minutes * 60 + seconds or None


def _ratio(value: Any) -> float:
    above, _, below = str(value or "").replace(":", "/").partition("/")
    return _number(above) / _number(below) if _number(below) else 0.0


def _whole(value: Any) -> int:
    return int(_number(value))


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) else 0.0
