"""Turns one picture into another with libvips and checks the result. Runs inside the sandbox, one picture per process.

It speaks as `answering.py` says: one line of JSON, the request, and one back. It imports nothing else of converto.
"""

import functools
import os
import sys
from typing import Any, NoReturn

TYPE_CHECKING = False  # read as True by type checkers; the real module would cost time to import
if TYPE_CHECKING:
    from converto_engines.inside import libvips
    from converto_engines.inside.answering import Refused, serve_line
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 -- pathlib costs time
    import libvips
    from answering import Refused, serve_line

ANIMATED = ("gif", "webp")
_UNSAFE_LOADERS = {
    "svg": "VipsForeignLoadSvg",
    "jp2": "VipsForeignLoadJp2k",
    "jxl": "VipsForeignLoadJxl",
    "bmp": "VipsForeignLoadMagick",
    "ico": "VipsForeignLoadMagick",
    "psd": "VipsForeignLoadMagick",
}
"""Loaders that libvips itself calls unsafe: each is opened for its own format only."""
_LOADERS = {
    "png": "pngload",
    "jpg": "jpegload",
    "webp": "webpload",
    "avif": "heifload",
    "heic": "heifload",
    "tiff": "tiffload",
    "gif": "gifload",
    "svg": "svgload",
    "jp2": "jp2kload",
    "jxl": "jxlload",
    "bmp": "magickload",
    "ico": "magickload",
    "psd": "magickload",
}
_SAVERS = {
    "png": "pngsave",
    "jpg": "jpegsave",
    "webp": "webpsave",
    "avif": "heifsave",
    "tiff": "tiffsave",
    "gif": "gifsave",
}
_DEFAULT_QUALITY = {"jpg": 85, "webp": 80, "avif": 60}
_LONGEST_SIDE = {"webp": 16383, "jpg": 65500, "gif": 65535, "avif": 16384}  # pixels, limits of the formats themselves
_ANIMATION_FACTOR = 10
"""All frames together may have ten times the pixels of one picture: they are read one after another."""
_Size = tuple[int, int]


def main() -> None:
    """Load libvips, then wait for the one request: loading takes longer than a small picture."""
    try:
        library = libvips.Library()
    except OSError:
        library = None
    serve_line(functools.partial(_served, library))


def _served(library: libvips.Library | None, request: dict[str, Any]) -> dict[str, Any]:
    if library is None:
        raise Refused("missing", "libvips is not installed on this worker")
    return _able(library) if "ask" in request else convert(library, request)


def convert(library: libvips.Library, request: dict[str, Any]) -> dict[str, Any]:
    """Read, turn upright, resize, mend the colours, write, and read back what was written."""
    options = request["options"]
    allowed = _UNSAFE_LOADERS.get(request["source_format"])
    library.allow(*([allowed] if allowed else []))
    source = _Source(library, request)
    size = _wanted_size(source, options)
    _check_size(size, request)
    try:
        picture = _coloured(_sized(source, size), request)
        picture = _on_background(picture, request)
        picture.write(request["output"], _save_options(request["target_format"], options))
    except libvips.VipsError as error:
        _blame(source, error)
    frames = source.frames if request["target_format"] in ANIMATED else 1
    _verify(library, request, size.out, frames)
    return {"width": size.out[0], "height": size.out[1], "frames": frames, "pages": source.pages}


class _Source:
    """The picture to convert: its upright size, its pages, and how to open it again."""

    def __init__(self, library: libvips.Library, request: dict[str, Any]) -> None:
        self.library, self.path = library, request["source"]
        self.is_vector = request["source_format"] == "svg"
        first = self._opened("fail_on=error,access=sequential")
        self.pages = max(first.n_pages, 1)
        self._page: int | None = request["options"].get("page") or self._page_to_take(request["source_format"])
        self.options = f"fail_on=error{self._page_options(request)}"
        header = self._opened(f"{self.options},access=sequential") if self.pages > 1 else first
        self.frames = header.height // header.page_height if self.pages > 1 and header.page_height else 1
        self.is_upright = header.orientation == 1
        width, height = header.width, header.height // self.frames
        _check_pixels((width, height), self.frames, request)
        self.size: _Size = (height, width) if header.orientation >= 5 else (width, height)

    def picture(self) -> libvips.Picture:
        """Its pixels, upright. What must be turned cannot be read from top to bottom in one go."""
        if self.is_upright:
            return self._opened(f"{self.options},access=sequential")
        return self._opened(self.options).upright()

    def scaled(self, width: int, height: int) -> libvips.Picture:
        """Its pixels, upright, in just this size (of one frame)."""
        return self.library.resized(self.path, self.options, width, height)

    def _page_options(self, request: dict[str, Any]) -> str:
        if self._page is not None and self._page > self.pages:
            what = "page" if self.pages == 1 else "pages"
            raise Refused("options", f"page: {self._page} was asked for, but the picture has {self.pages} {what}")
        if self.pages == 1:
            return ""
        if self._page is not None:
            return f",page={self._page - 1}"
        is_animated = request["source_format"] in ANIMATED and request["target_format"] in ANIMATED
        return ",n=-1" if is_animated else ""

    def _page_to_take(self, source_format: str) -> int | None:
        return _largest_icon(self.path) if source_format == "ico" and self.pages > 1 else None

    def _opened(self, options: str) -> libvips.Picture:
        try:
            return self.library.open(self.path, options)
        except libvips.VipsError as error:
            raise Refused("corrupt", "") from error


class _Sizes:
    """What the picture is scaled to, what is then cut out of its middle, and whether it is scaled at all."""

    def __init__(self, scaled: _Size, out: _Size, *, is_scaled: bool) -> None:
        self.scaled, self.out, self.is_scaled = scaled, out, is_scaled


def _wanted_size(source: _Source, options: dict[str, Any]) -> _Sizes:
    width, height, fit = options.get("width"), options.get("height"), options.get("fit", "inside")
    if width is None and height is None:
        return _Sizes(source.size, source.size, is_scaled=False)
    # A drawing has no pixels of its own to be stretched, so it always fills what was asked for.
    may_grow = options.get("enlarge", False) or source.is_vector
    own_width, own_height = source.size
    if fit == "fill" and width and height:
        out = (width, height) if may_grow else (min(width, own_width), min(height, own_height))
        return _Sizes(out, out, is_scaled=True)
    factors = [wanted / own for wanted, own in ((width, own_width), (height, own_height)) if wanted]
    factor = max(factors) if fit == "cover" else min(factors)
    if not may_grow:
        factor = min(factor, 1.0)
    scaled = (max(round(own_width * factor), 1), max(round(own_height * factor), 1))
    is_cut = fit == "cover" and bool(width and height)
    out = (min(width, scaled[0]), min(height, scaled[1])) if is_cut else scaled
    return _Sizes(scaled, out, is_scaled=scaled != source.size or source.is_vector)


def _sized(source: _Source, size: _Sizes) -> libvips.Picture:
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


def _coloured(picture: libvips.Picture, request: dict[str, Any]) -> libvips.Picture:
    """Keep the picture's own colour profile where the target can hold it; otherwise turn its colours into sRGB."""
    is_cmyk = picture.interpretation == libvips.CMYK
    keeps_profile = request["target_format"] != "gif" and not request["options"].get("strip", False)
    if not is_cmyk and (keeps_profile or not picture.has_field("icc-profile-data")):
        return picture
    try:
        return picture.without_profile()
    except libvips.VipsError:
        return picture.in_srgb()  # a broken profile is as good as none


def _on_background(picture: libvips.Picture, request: dict[str, Any]) -> libvips.Picture:
    colour = request["options"].get("background") or ("#ffffff" if request["target_format"] == "jpg" else None)
    if colour is None or not picture.has_alpha:
        return picture
    red, green, blue = (int(colour[position : position + 2], 16) for position in (1, 3, 5))
    return picture.in_srgb().flattened((red, green, blue))


def _save_options(target_format: str, options: dict[str, Any]) -> str:
    quality = options.get("quality") or _DEFAULT_QUALITY.get(target_format)
    is_lossless = bool(options.get("lossless"))
    if is_lossless and target_format == "jpg":
        raise Refused("options", "lossless: JPEG cannot be lossless. Please choose png, webp, avif or tiff")
    chosen = {
        "png": "compression=6",
        "jpg": f"Q={quality},optimize_coding=true",
        "webp": f"Q={quality},effort=4,lossless={str(is_lossless).lower()}",
        "avif": f"Q={quality},effort=3,bitdepth=8,compression=av1" + _avif_lossless(is_lossless),
        "tiff": "compression=lzw,predictor=horizontal",
        "gif": "effort=6",
    }[target_format]
    return f"{chosen},strip=true" if options.get("strip") else chosen


def _avif_lossless(is_lossless: bool) -> str:
    return ",lossless=true,subsample_mode=off" if is_lossless else ""


def _check_pixels(size: _Size, frames: int, request: dict[str, Any]) -> None:
    if frames > request["frames"]:
        raise Refused("too_large", f"The animation has {frames:,} frames; {request['frames']:,} are allowed")
    # One picture over the limit is refused before any pixel is read.
    limit = request["pixels"]
    if size[0] * size[1] > limit or size[0] * size[1] * frames > limit * _ANIMATION_FACTOR:
        of_frames = f" × {frames} frames" if frames > 1 else ""
        raise Refused(
            "too_large",
            f"The picture is {size[0]} × {size[1]} pixels{of_frames}; {limit // 1_000_000} million pixels are allowed",
        )


def _check_size(size: _Sizes, request: dict[str, Any]) -> None:
    width, height = size.out
    if size.is_scaled and max(width * height, size.scaled[0] * size.scaled[1]) > request["pixels"]:
        allowed = f"{request['pixels'] // 1_000_000} million pixels are allowed"
        raise Refused("options", f"The size asked for gives {width} × {height} pixels; {allowed}")
    target, longest = request["target_format"], _LONGEST_SIDE.get(request["target_format"])
    if longest is not None and max(width, height) > longest:
        advice = f"Please set width or height, or choose another format than {target}"
        raise Refused("too_large", f"{target} pictures have at most {longest} pixels per side, this has more. {advice}")


def _blame(source: _Source, error: libvips.VipsError) -> NoReturn:
    """Pixels are read while they are written, so find out which of the two failed: read them once alone."""
    try:
        source.library.open(source.path, f"{source.options},access=sequential").decode()
    except libvips.VipsError as cause:
        raise Refused("corrupt", "") from cause
    raise error


def _largest_icon(path: str) -> int:
    """An icon file holds one icon in many sizes; each entry of its list has 16 bytes, the first is the width."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        header = file.read(6 + 16 * 256)
    count = int.from_bytes(header[4:6], "little")
    widths = [header[6 + 16 * index] or 256 for index in range(count) if len(header) >= 22 + 16 * index]
    return widths.index(max(widths)) + 1 if widths else 1


def _verify(library: libvips.Library, request: dict[str, Any], size: _Size, frames: int) -> None:
    options = ",n=-1" if frames > 1 else ""
    try:
        made = library.open(request["output"], f"fail_on=error,access=sequential{options}")
        height = made.height // frames
        made.decode()
    except libvips.VipsError as error:
        raise Refused("output", f"The result cannot be read: {error}") from error
    if (made.width, height) != size or (frames > 1 and made.n_pages != frames):
        raise Refused("output", f"The result is {made.width} × {height} pixels instead of {size[0]} × {size[1]}")


def _able(library: libvips.Library) -> dict[str, Any]:
    return {
        "version": library.version,
        "sources": [name for name, loader in _LOADERS.items() if library.has(loader)],
        "targets": [name for name, saver in _SAVERS.items() if library.has(saver)],
    }


if __name__ == "__main__":
    main()
