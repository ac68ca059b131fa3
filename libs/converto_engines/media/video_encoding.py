"""ffmpeg options that encode one video track: encoder, quality, filters, pixel format.

Sizes are computed here and not by ffmpeg, so that the expected size is known when the result is verified.
"""

import re
from collections.abc import Iterable, Mapping
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
# ffmpeg's own decoders of both ignore transparency.
_ALPHA_DECODERS: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Only Matroska stores the transparency of VP9, beside each frame; MP4 has no place for it.
ALPHA_CONTAINERS: Final = frozenset({"mkv", "webm"})


class EncodingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one video encode; `container` is the target format."""

    codec: Codec
    container: str
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


def is_tone_mapped(track: Track, settings: EncodingSettings) -> bool:
    """Return whether a high dynamic range is lost: players expect 8 bits and common colours in H.264."""
    return track.is_hdr and settings.codec == "h264"


def keeps_alpha(track: Track, settings: EncodingSettings) -> bool:
    """Return whether transparency is kept; VP9 has it with 8 bits only, too few for a high dynamic range."""
    is_stored = settings.codec == "vp9" and settings.container in ALPHA_CONTAINERS
    return is_stored and track.has_alpha and not track.is_hdr


def pixel_format(track: Track, settings: EncodingSettings) -> str:
    """Return 8 bits per colour, or 10 where the source has more and players support it for the codec."""
    if keeps_alpha(track, settings):
        return "yuva420p"
    is_deep = track.has_deep_colour or track.is_hdr
    return "yuv420p10le" if is_deep and settings.codec != "h264" else "yuv420p"


def decoders(tracks: Iterable[Track]) -> list[str]:
    """Return the arguments before the input that decode the transparency of these tracks."""
    known = [(track.index, _ALPHA_DECODERS[track.codec]) for track in tracks if track.codec in _ALPHA_DECODERS]
    transparent = {track.index for track in tracks if track.has_alpha}
    return [word for index, name in known if index in transparent for word in (f"-c:{index}", name)]


def tone_mapping(track: Track) -> list[str]:
    """Return the filters from a high dynamic range to the colours of common screens (BT.709).

    What the file does not say is taken as BT.2020. Colour is unfolded first, because zscale refuses odd sizes with
    halved colour.
    """
    given = [f"color_trc={track.transfer}"]
    given += [] if track.primaries else ["color_primaries=bt2020"]
    given += [] if track.matrix or track.is_rgb else ["colorspace=bt2020nc"]
    return [
        f"setparams={':'.join(given)}",
        *([] if track.is_rgb else ["format=yuv444p12le"]),
        "zscale=t=linear:npl=100",
        "format=gbrpf32le",
        "zscale=p=bt709",
        "tonemap=hable:desat=0",
        "zscale=t=bt709:m=bt709:r=tv",
    ]


def white_background(track: Track) -> list[str]:
    """Return the filters that put a transparent picture on white, as the picture converters do."""
    # `drawbox` of ffmpeg 5.1 crashes on RGB with transparency.
    white = "drawbox=color=white:thickness=fill:replace=1"
    if track.is_rgb:
        white = "lutrgb=r=maxval:g=maxval:b=maxval:a=maxval"
    ground = "rgb" if track.is_rgb else "auto"
    return [f"split[front][back];[back]{white}[white];[white][front]overlay=format={ground}"]


def filters(track: Track, settings: EncodingSettings) -> list[str]:
    """Return the filters for every frame, in order."""
    steps = white_background(track) if track.has_alpha and not keeps_alpha(track, settings) else []
    if track.is_interlaced and settings.deinterlace:
        steps.append("bwdif=mode=send_frame:deint=interlaced")
    if settings.fps is not None:
        steps.append(f"fps={settings.fps:g}")
    return [*steps, *_sizing(track, settings), *_colouring(track, settings)]


def _sizing(track: Track, settings: EncodingSettings) -> list[str]:
    width, height = size_of(track, settings)
    if settings.width is not None or settings.height is not None:
        return [f"scale={width}:{height}:flags=bicubic"]
    if (width, height) == track.upright:
        return []
    # Repeat the last row or column of odd sizes: no cropping, no scaling blur, no black line.
    right, bottom = width - track.upright[0], height - track.upright[1]
    return [f"pad={width}:{height}", f"fillborders=right={right}:bottom={bottom}:mode=smear"]


def _colouring(track: Track, settings: EncodingSettings) -> list[str]:
    form = f"format={pixel_format(track, settings)}"
    if is_tone_mapped(track, settings):
        return [*tone_mapping(track), form]
    if not track.is_rgb:
        return [form]
    # Players assume BT.709 for large pictures without colour tags, so convert to BT.709 and tag it.
    tagged = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    return ["scale=out_color_matrix=bt709:out_range=tv", form, tagged]


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


def _for_svt_av1(hdr_metadata: str) -> str:
    """Translate x265's parameters, which count in small units, to SVT-AV1's, which are fractions and candelas."""
    params = dict(part.split("=") for part in hdr_metadata.split(":"))
    translated = []
    if screen := params.get("master-display"):
        units = {"L": 10_000, **{short: 50_000 for short, _ in _PRIMARIES}}
        corners = re.findall(r"([A-Z]+)\((\d+),(\d+)\)", screen)
        shown = [f"{name}({int(x) / units[name]:.5f},{int(y) / units[name]:.5f})" for name, x, y in corners]
        translated.append(f"mastering-display={''.join(shown)}")
    if light := params.get("max-cll"):
        translated.append(f"content-light={light}")
    return ":".join(translated)


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
        "av1": [
            ("preset", str(_AV1_PRESETS[step])),
            *([("svtav1-params", _for_svt_av1(hdr_metadata))] if hdr_metadata else []),
        ],
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
