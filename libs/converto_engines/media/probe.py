"""What ffprobe tells of a media file, as typed tracks, and the refusals that follow from it alone.

It starts nothing. What it reads comes from a hostile file, so each value is checked before it is used.
"""

import math
import os
from pathlib import Path
from typing import Any

import msgspec

from converto_core.errors import CorruptSource, EncryptedSource, SourceTooLarge
from converto_engines.converter import Limits

_PROTECTED_TAGS = (b"encv", b"enca", b"drmi", b"drms")
_MOST_BOXES, _LARGEST_INDEX_BYTES = 64, 32 * 1024**2
_UNKNOWN_SIZE_BYTES, _SLACK_BYTES = 0x7FFF_0000, 1024
_UNKNOWN = frozenset({"", "none", "unknown"})
_DEEP = ("p10", "p12", "p14", "p16", "10le", "12le", "16le", "10be", "12be", "16be", "48", "64")
_ALPHA = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "pal8")
PICTURE_SUBTITLES = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"})


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. `kind` is video, audio, subtitle, attachment, cover or data; numbers are 0 where nothing is told.

    `end_s` counts from the start of the file's first track. `shape` is a pixel's width over its height.
    `light` is what x265 is to write of the screen that the pictures were made for.
    """

    index: int
    kind: str
    codec: str
    width: int = 0
    height: int = 0
    pixel_format: str = ""
    shape: float = 1.0
    rotation: int = 0
    frame_rate: float = 0.0
    is_steady: bool = True
    is_interlaced: bool = False
    transfer: str = ""
    sample_rate_hz: int = 0
    channels: int = 0
    bits: int = 0
    is_float: bool = False
    language: str = ""
    end_s: float | None = None
    tags: tuple[str, ...] = ()
    has_alpha: bool = False
    light: str = ""
    is_default: bool = False

    @property
    def is_deep(self) -> bool:
        """More than eight bits per colour."""
        return any(part in self.pixel_format for part in _DEEP)

    @property
    def is_rgb(self) -> bool:
        """Colours as red, green and blue, not as brightness and two differences."""
        return self.pixel_format.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2"))

    @property
    def is_hdr(self) -> bool:
        """Brightness beyond that of a common screen."""
        return self.transfer in {"smpte2084", "arib-std-b67"}

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height after the turn that the file asks for."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """All tracks of a file in its order, and how long it says it is (None when it does not say)."""

    tracks: tuple[Track, ...]
    duration_s: float | None
    chapters: int = 0

    def of(self, *kinds: str) -> tuple[Track, ...]:
        """The tracks of these kinds."""
        return tuple(track for track in self.tracks if track.kind in kinds)


def read_probe(path: Path, *, counts_frames: bool = False) -> Probe:
    """The answer that ffprobe wrote; raises `CorruptSource` when there is no track in it.

    `counts_frames`: the number of frames that the file tells is to be believed, not the length that ffprobe made of it.
    """
    try:
        told = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        told = {}
    streams = told.get("streams") if isinstance(told, dict) else None
    if not isinstance(streams, list) or not streams:
        raise CorruptSource(detail="ffprobe found no stream")
    whole = told.get("format") or {}
    duration_s = _seconds(whole.get("duration"))
    tracks = tuple(_track(stream, _number(whole.get("start_time"))) for stream in streams)
    if counts_frames:
        counts = [_whole(stream.get("nb_frames")) for stream in streams]
        tracks = tuple(_as_counted(track, count) for track, count in zip(tracks, counts, strict=True))
    return Probe(tracks=tracks, duration_s=duration_s, chapters=len(told.get("chapters") or ()))


def read_light(path: Path) -> dict[str, dict[str, str]]:
    """Side data of a first frame by its kind, as ffprobe wrote it; empty when there is none."""
    try:
        told = msgspec.json.decode(path.read_bytes(), type=_Frames)
    except (OSError, msgspec.DecodeError):
        return {}
    entries = [entry for frame in told.frames for entry in frame.side_data_list]
    return {str(entry.get("side_data_type")): {name: str(value) for name, value in entry.items()} for entry in entries}


class _Frame(msgspec.Struct):
    side_data_list: list[dict[str, Any]] = []


class _Frames(msgspec.Struct):
    frames: list[_Frame] = []


def check_limits(probe: Probe, limits: Limits) -> None:
    """Raise `SourceTooLarge` before any work when a file has more streams, seconds or pixels than is allowed."""
    if len(probe.tracks) > limits.streams:
        raise SourceTooLarge(f"The file has {len(probe.tracks)} tracks; {limits.streams} are allowed")
    check_duration(probe.duration_s, limits)
    for track in probe.of("video", "cover"):
        if track.width * track.height > limits.pixels:
            size = f"{track.width} × {track.height} pixels"
            raise SourceTooLarge(f"A frame of the video has {size}; {limits.pixels:,} in all are allowed")


def check_duration(duration_s: float | None, limits: Limits) -> None:
    """Raise `SourceTooLarge` for a file that lasts too long."""
    if duration_s is not None and duration_s > limits.duration_s:
        raise SourceTooLarge(f"The file lasts {duration_s:,.0f} s; {limits.duration_s:,.0f} s are allowed")


def check_protection(path: Path) -> None:
    """Raise `EncryptedSource` for an MP4 that only its seller's player can open. ffprobe does not tell these apart.

    Blocks while it reads the file's index.
    """
    index = _mp4_index(path)
    if b"sinf" in index and b"frma" in index and any(tag in index for tag in _PROTECTED_TAGS):
        raise EncryptedSource("The file is copy protected (DRM). Please upload one without protection")


def check_wav_end(path: Path) -> None:
    """Raise `CorruptSource` for a WAV that is shorter than it says; ffprobe only tells what is there.

    A recorder that was switched off leaves 0 or nearly 2 or 4 GB as the size: then all there is counts as all of it.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(12)
        for _ in range(_MOST_BOXES):
            head = file.read(8)
            told = int.from_bytes(head[4:], "little")
            if len(head) < 8 or (head[:4] == b"data" and told >= _UNKNOWN_SIZE_BYTES):
                return
            if head[:4] == b"data" and file.tell() + told > size_bytes + _SLACK_BYTES:
                raise CorruptSource("The end of the sound is missing. Please upload the complete file")
            file.seek(told + told % 2, os.SEEK_CUR)


def _mp4_index(path: Path) -> bytes:
    """The box `moov`; empty when there is none among the first boxes."""
    with path.open("rb") as file:
        for _ in range(_MOST_BOXES):
            head = file.read(16)
            if len(head) < 16:
                return b""
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:], "big") if size == 1 else size
            if head[4:8] == b"moov":
                return head + file.read(min(max(size - 16, 0), _LARGEST_INDEX_BYTES))
            if not 8 <= size < 2**62:
                return b""
            file.seek(size - 16, os.SEEK_CUR)
    return b""


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
        shape=_ratio(stream.get("sample_aspect_ratio")) or 1.0,
        rotation=_rotation(stream, tags),
        frame_rate=_ratio(stream.get("avg_frame_rate")) or _ratio(stream.get("r_frame_rate")),
        is_steady=_is_steady(stream),
        is_interlaced=stream.get("field_order") in {"tt", "bb", "tb", "bt"},
        transfer=str(stream.get("color_transfer", "")),
        sample_rate_hz=_whole(stream.get("sample_rate")),
        channels=_whole(stream.get("channels")),
        bits=_bits(stream),
        is_float=str(stream.get("sample_fmt", "")).startswith(("flt", "dbl")),
        language=tags.get("language", ""),
        end_s=_end(stream, tags, start_s),
        tags=(str(stream.get("codec_tag_string", "")), *tags),
        has_alpha=pixel_format.startswith(_ALPHA) or tags.get("alpha_mode") == "1",
        is_default=bool(disposition.get("default")),
    )


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


def _is_steady(stream: dict[str, Any]) -> bool:
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
    end_s = _clock(tags.get("duration", ""))  # Matroska tells the end of a track, and in a tag only
    return None if end_s is None else end_s - start_s


def _clock(text: str) -> float | None:
    """Seconds of 00:01:02.500000000."""
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
