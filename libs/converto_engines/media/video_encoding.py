"""ffmpeg options that encode one video track: encoder, quality, filters, pixel format.

Sizes are computed here and not by ffmpeg, so that the expected size is known when the result is verified.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from converto_core.errors import BadOptions
from converto_engines.media.probe import Track

Codec = Literal["h264", "h265", "vp9", "av1"]
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]

ENCODERS: Final = {"h264": "libx264", "h265": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
PROBED_NAMES: Final = {"h264": "h264", "h265": "hevc", "vp9": "vp9", "av1": "av1"}
_DEFAULT_CRF = {"h264": 21, "h265": 24, "vp9": 31, "av1": 30}
_MAX_CRF = {"h264": 51, "h265": 51, "vp9": 63, "av1": 63}
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
# The same nine steps for the other two encoders, matched by the speed tables in their documentation.
_VP9_SPEEDS = (8, 8, 6, 5, 4, 3, 2, 1, 0)
_AV1_PRESETS = (12, 11, 10, 9, 8, 8, 6, 5, 4)


class EncodingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one video encode."""

    codec: Codec
    quality: int | None = None
    bitrate_kbps: int | None = None
    preset: Preset = "medium"
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    deinterlace: bool = True


def check_settings(settings: EncodingSettings) -> None:
    """Raise `BadOptions` for settings that contradict each other or the codec."""
    if settings.quality is not None and settings.bitrate_kbps is not None:
        raise BadOptions("Set quality or bitrate_kbps, not both")
    worst = _MAX_CRF[settings.codec]
    if settings.quality is not None and settings.quality > worst:
        raise BadOptions(f"quality must be from 0 (best) to {worst} for {settings.codec}")


def size_of(track: Track, settings: EncodingSettings) -> tuple[int, int]:
    """Return width and height of the result: upright, in proportion, even."""
    width, height = track.upright
    if settings.width is None and settings.height is None:
        return width + width % 2, height + height % 2
    share = min(
        settings.width / width if settings.width else float("inf"),
        settings.height / height if settings.height else float("inf"),
    )
    return _even(width * share), _even(height * share)


def pixel_format(track: Track, codec: Codec) -> str:
    """Return 8 bits per colour, or 10 where the source has more and players support it for the codec."""
    if codec == "vp9" and track.has_alpha:
        return "yuva420p"
    return "yuv420p10le" if track.has_deep_colour and codec != "h264" else "yuv420p"


def filters(track: Track, settings: EncodingSettings) -> list[str]:
    """Return the filters for every frame, in order."""
    steps = []
    if track.is_interlaced and settings.deinterlace:
        steps.append("bwdif=mode=send_frame:deint=interlaced")
    if settings.fps is not None:
        steps.append(f"fps={settings.fps:g}")
    width, height = size_of(track, settings)
    if settings.width is not None or settings.height is not None:
        steps.append(f"scale={width}:{height}:flags=bicubic")
    elif (width, height) != track.upright:
        # Repeat the last row or column of odd sizes: no cropping, no scaling blur, no black line.
        right, bottom = width - track.upright[0], height - track.upright[1]
        steps += [f"pad={width}:{height}", f"fillborders=right={right}:bottom={bottom}:mode=smear"]
    if track.is_rgb:
        # Players assume BT.709 for large pictures without colour tags, so convert to BT.709 and tag it.
        steps += ["scale=out_color_matrix=bt709:out_range=tv"]
    steps.append(f"format={pixel_format(track, settings.codec)}")
    if track.is_rgb:
        steps.append("setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv")
    return steps


_PRIMARIES = (("G", "green"), ("B", "blue"), ("R", "red"), ("WP", "white_point"))


def hdr_metadata_of(side_data: Mapping[str, Mapping[str, str]]) -> str:
    """Return the mastering display and light levels as x265 parameters; empty when missing or implausible."""
    parts = []
    screen = side_data.get("Mastering display metadata", {})
    places = [(_units(screen, f"{name}_x", 50_000), _units(screen, f"{name}_y", 50_000)) for _, name in _PRIMARIES]
    brightness = _units(screen, "max_luminance", 10_000), _units(screen, "min_luminance", 10_000)
    if all(place > 0 for pair in places for place in pair) and brightness[0] > 0:
        corners = "".join(f"{short}({x},{y})" for (short, _), (x, y) in zip(_PRIMARIES, places, strict=True))
        parts.append(f"master-display={corners}L({brightness[0]},{max(brightness[1], 0)})")
    content = side_data.get("Content light level metadata", {})
    most, average = _units(content, "max_content", 1), _units(content, "max_average", 1)
    if most > 0 and average >= 0:
        parts.append(f"max-cll={most},{average}")
    return ":".join(parts)


def _units(side_data: Mapping[str, str], name: str, per_unit: int) -> int:
    above, _, below = side_data.get(name, "").partition("/")
    if not above.isdecimal() or not (below or "1").isdecimal() or not int(below or 1):
        return -1
    return min(round(int(above) * per_unit / int(below or 1)), 2**31)


def encoder(settings: EncodingSettings, hdr_metadata: str = "") -> list[tuple[str, str]]:
    """Return options of the software encoder for one output track."""
    step = _PRESETS.index(settings.preset)
    own: dict[str, list[tuple[str, str]]] = {
        "h264": [("preset", settings.preset)],
        "h265": [
            ("preset", settings.preset),
            ("x265-params", ":".join(["log-level=error", *([hdr_metadata] if hdr_metadata else [])])),
        ],
        "vp9": [
            ("deadline", "realtime" if step < 2 else "good"),
            ("cpu-used", str(_VP9_SPEEDS[step])),
            ("row-mt", "1"),
        ],
        "av1": [("preset", str(_AV1_PRESETS[step]))],
    }
    return [("c", ENCODERS[settings.codec]), *own[settings.codec], *_amount(settings)]


def _amount(settings: EncodingSettings) -> list[tuple[str, str]]:
    if settings.bitrate_kbps is None:
        quality = _DEFAULT_CRF[settings.codec] if settings.quality is None else settings.quality
        return [("crf", str(quality)), *([("b", "0")] if settings.codec == "vp9" else [])]
    if settings.codec == "av1":
        return [("b", f"{settings.bitrate_kbps}k")]  # SVT-AV1 has no peak limit in this mode
    peak = [("maxrate", f"{settings.bitrate_kbps * 3 // 2}k"), ("bufsize", f"{settings.bitrate_kbps * 2}k")]
    return [("b", f"{settings.bitrate_kbps}k"), *peak]


def _even(length: float) -> int:
    return max(round(length / 2) * 2, 2)
