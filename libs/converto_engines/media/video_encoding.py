"""The arguments that encode one video track: program, quality, filters, pixel format. It knows no container.

Sizes are computed here and not by ffmpeg, so that the result's size is known before and can be checked after.
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
_WORST_CRF = {"h264": 51, "h265": 51, "vp9": 63, "av1": 63}
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
# The same nine steps in the numbers of the other two encoders, measured by their own documents' speed tables.
_VP9_SPEEDS = (8, 8, 6, 5, 4, 3, 2, 1, 0)
_AV1_PRESETS = (12, 11, 10, 9, 8, 8, 6, 5, 4)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What one wants of the pictures, in any codec."""

    codec: Codec
    quality: int | None = None
    bitrate_kbps: int | None = None
    preset: Preset = "medium"
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    deinterlace: bool = True


def check_wish(wish: Wish) -> None:
    """Raise `BadOptions` for what contradicts itself or the codec."""
    if wish.quality is not None and wish.bitrate_kbps is not None:
        raise BadOptions("Choose either quality or bitrate_kbps: each of them decides the size of the file")
    worst = _WORST_CRF[wish.codec]
    if wish.quality is not None and wish.quality > worst:
        raise BadOptions(f"quality goes from 0 (best) to {worst} for {wish.codec}")


def size_of(track: Track, wish: Wish) -> tuple[int, int]:
    """Width and height of the result: upright, in shape, even."""
    width, height = track.upright
    if wish.width is None and wish.height is None:
        return width + width % 2, height + height % 2
    share = min(
        wish.width / width if wish.width else float("inf"),
        wish.height / height if wish.height else float("inf"),
    )
    return _even(width * share), _even(height * share)


def pixel_format(track: Track, codec: Codec) -> str:
    """8 bits per colour, or 10 where the source has more and the codec is played with that."""
    if codec == "vp9" and track.has_alpha:
        return "yuva420p"
    return "yuv420p10le" if track.is_deep and codec != "h264" else "yuv420p"


def filters(track: Track, wish: Wish) -> list[str]:
    """The steps that every picture goes through, in order."""
    steps = []
    if track.is_interlaced and wish.deinterlace:
        steps.append("bwdif=mode=send_frame:deint=interlaced")
    if wish.fps is not None:
        steps.append(f"fps={wish.fps:g}")
    width, height = size_of(track, wish)
    if wish.width is not None or wish.height is not None:
        steps.append(f"scale={width}:{height}:flags=bicubic")
    elif (width, height) != track.upright:
        # An odd row more, a repetition of the last one: nothing is cut off, nothing is made unsharp, no black line.
        right, bottom = width - track.upright[0], height - track.upright[1]
        steps += [f"pad={width}:{height}", f"fillborders=right={right}:bottom={bottom}:mode=smear"]
    if track.is_rgb:
        # Players take untold colours of larger pictures for BT.709, so they are made and named so.
        steps += ["scale=out_color_matrix=bt709:out_range=tv"]
    steps.append(f"format={pixel_format(track, wish.codec)}")
    if track.is_rgb:
        steps.append("setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv")
    return steps


_PRIMARIES = (("G", "green"), ("B", "blue"), ("R", "red"), ("WP", "white_point"))


def light_of(told: Mapping[str, Mapping[str, str]]) -> str:
    """A screen's figures as x265 takes them; empty when there are none, or not such that make sense."""
    parts = []
    screen = told.get("Mastering display metadata", {})
    places = [(_units(screen, f"{name}_x", 50_000), _units(screen, f"{name}_y", 50_000)) for _, name in _PRIMARIES]
    brightness = _units(screen, "max_luminance", 10_000), _units(screen, "min_luminance", 10_000)
    if all(place > 0 for pair in places for place in pair) and brightness[0] > 0:
        corners = "".join(f"{short}({x},{y})" for (short, _), (x, y) in zip(_PRIMARIES, places, strict=True))
        parts.append(f"master-display={corners}L({brightness[0]},{max(brightness[1], 0)})")
    content = told.get("Content light level metadata", {})
    most, average = _units(content, "max_content", 1), _units(content, "max_average", 1)
    if most > 0 and average >= 0:
        parts.append(f"max-cll={most},{average}")
    return ":".join(parts)


def _units(told: Mapping[str, str], name: str, per_unit: int) -> int:
    above, _, below = told.get(name, "").partition("/")
    if not above.isdecimal() or not (below or "1").isdecimal() or not int(below or 1):
        return -1
    return min(round(int(above) * per_unit / int(below or 1)), 2**31)


def encoder(wish: Wish, light: str = "") -> list[tuple[str, str]]:
    """Options of the software encoder, to be given to one output track each."""
    step = _PRESETS.index(wish.preset)
    own: dict[str, list[tuple[str, str]]] = {
        "h264": [("preset", wish.preset)],
        "h265": [("preset", wish.preset), ("x265-params", ":".join(["log-level=error", *([light] if light else [])]))],
        "vp9": [
            ("deadline", "realtime" if step < 2 else "good"),
            ("cpu-used", str(_VP9_SPEEDS[step])),
            ("row-mt", "1"),
        ],
        "av1": [("preset", str(_AV1_PRESETS[step]))],
    }
    return [("c", ENCODERS[wish.codec]), *own[wish.codec], *_amount(wish)]


def _amount(wish: Wish) -> list[tuple[str, str]]:
    if wish.bitrate_kbps is None:
        quality = _DEFAULT_CRF[wish.codec] if wish.quality is None else wish.quality
        return [("crf", str(quality)), *([("b", "0")] if wish.codec == "vp9" else [])]
    if wish.codec == "av1":
        return [("b", f"{wish.bitrate_kbps}k")]  # it knows no short-term limit
    peak = [("maxrate", f"{wish.bitrate_kbps * 3 // 2}k"), ("bufsize", f"{wish.bitrate_kbps * 2}k")]
    return [("b", f"{wish.bitrate_kbps}k"), *peak]


def _even(length: float) -> int:
    return max(round(length / 2) * 2, 2)
