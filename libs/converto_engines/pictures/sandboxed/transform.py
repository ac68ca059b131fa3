"""Resizes and crops a picture, converts its colours, and puts it on a background."""

from typing import Any

from converto_engines.pictures.sandboxed import libvips
from converto_engines.pictures.sandboxed.source import Size, Source
from converto_engines.runtime.sandboxed.protocol import Refused

_NO_ALPHA = ("jpg", "bmp")
_NO_PROFILE = ("gif", "bmp", "jp2", "ico")
_EIGHT_BITS = ("bmp", "ico")
_MAX_SIDE = {"webp": 16383, "jpg": 65500, "gif": 65535, "avif": 16384, "heic": 16384, "bmp": 32000}
"""Pixels. Limits of the formats themselves, except for bitmaps, whose limit is ours (magick/policy.xml)."""


class Resize:
    """The size to scale to, the size then cropped from the centre, and whether scaling is needed at all."""

    def __init__(self, scaled: Size, out: Size, *, is_scaled: bool) -> None:
        self.scaled, self.out, self.is_scaled = scaled, out, is_scaled


def output_size(source: Source, options: dict[str, Any]) -> Resize:
    """Return how to resize a source for the options `width`, `height`, `fit` and `enlarge`."""
    width, height, fit = options.get("width"), options.get("height"), options.get("fit", "inside")
    if width is None and height is None:
        return Resize(source.size, source.size, is_scaled=False)
    # A vector drawing loses nothing when enlarged, so it always fills the requested size.
    may_grow = options.get("enlarge", False) or source.is_vector
    own_width, own_height = source.size
    if fit == "fill" and width and height:
        out = (width, height) if may_grow else (min(width, own_width), min(height, own_height))
        return Resize(out, out, is_scaled=True)
    factors = [wanted / own for wanted, own in ((width, own_width), (height, own_height)) if wanted]
    factor = max(factors) if fit == "cover" else min(factors)
    if not may_grow:
        factor = min(factor, 1.0)
    scaled = (max(round(own_width * factor), 1), max(round(own_height * factor), 1))
    is_cut = fit == "cover" and bool(width and height)
    out = (min(width, scaled[0]), min(height, scaled[1])) if is_cut else scaled
    return Resize(scaled, out, is_scaled=scaled != source.size or source.is_vector)


def check_size(size: Resize, request: dict[str, Any]) -> None:
    """Refuse a result with more pixels than allowed, or longer sides than the target format can have."""
    width, height = size.out
    if size.is_scaled and max(width * height, size.scaled[0] * size.scaled[1]) > request["pixels"]:
        allowed = f"at most {request['pixels'] // 1_000_000} million pixels are allowed"
        raise Refused("options", f"The requested size gives {width} × {height} pixels; {allowed}")
    target, longest = request["target_format"], _MAX_SIDE.get(request["target_format"])
    if longest is not None and max(width, height) > longest:
        advice = f"Set width or height, or choose another format than {target}"
        raise Refused("too_large", f"{target} allows at most {longest} pixels per side, the picture has more. {advice}")


def resized(source: Source, size: Resize) -> libvips.Picture:
    """Return the source scaled and cropped, frame by frame for an animation."""
    picture = source.scaled(*size.scaled) if size.is_scaled else source.picture()
    if size.out == size.scaled:
        return picture
    left, top = ((scaled - out) // 2 for scaled, out in zip(size.scaled, size.out, strict=True))
    if source.frames == 1:
        return picture.crop(left, top, *size.out)
    steps = range(source.frames)
    strip = picture.in_memory()
    frames = [strip.crop(left, step * size.scaled[1] + top, *size.out) for step in steps]
    joined = source.library.join_down(frames)
    joined.kept = (frames,)
    joined.set_int("page-height", size.out[1])
    return joined


def in_target_colours(picture: libvips.Picture, request: dict[str, Any]) -> libvips.Picture:
    """Keep the picture's colour profile where the target supports one; otherwise convert to sRGB."""
    if picture.interpretation == libvips.GREY and picture.bands >= 3:
        # ImageMagick labels RGB Targa files as grey, which would turn two of three bands into alpha.
        picture = picture.labelled_srgb()
    is_cmyk = picture.interpretation == libvips.CMYK
    if request["target_format"] in _EIGHT_BITS and not picture.has_field("icc-profile-data") and not is_cmyk:
        return picture.in_srgb()
    keeps_profile = request["target_format"] not in _NO_PROFILE and not request["options"].get("strip", False)
    if not is_cmyk and (keeps_profile or not picture.has_field("icc-profile-data")):
        return picture
    try:
        return picture.without_profile()
    except libvips.VipsError:
        return picture.in_srgb()  # a broken profile counts as none


def on_background(picture: libvips.Picture, request: dict[str, Any]) -> libvips.Picture:
    """Fill transparent parts with the chosen colour, or with white where the target has no transparency."""
    colour = request["options"].get("background") or ("#ffffff" if request["target_format"] in _NO_ALPHA else None)
    if colour is None or not picture.has_alpha:
        return picture
    red, green, blue = (int(colour[position : position + 2], 16) for position in (1, 3, 5))
    return picture.in_srgb().flattened((red, green, blue))
