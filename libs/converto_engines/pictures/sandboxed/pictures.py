"""Turns one picture into another with libvips and checks the result. Runs inside the sandbox, one picture per process.

It speaks as `protocol.py` says: one line of JSON, the request, and one back. It imports nothing else of converto.
"""

import functools
import sys
from typing import Any, NoReturn

from converto_engines.pictures.sandboxed import icons, libvips, old_jpeg
from converto_engines.runtime.sandboxed.protocol import Refused, serve_stdin

ANIMATED = ("gif", "webp")
_UNSAFE_LOADERS = {
    "svg": "VipsForeignLoadSvg",
    "jp2": "VipsForeignLoadJp2k",
    "jxl": "VipsForeignLoadJxl",
    "bmp": "VipsForeignLoadMagick",
    "ico": "VipsForeignLoadMagick",
    "psd": "VipsForeignLoadMagick",
    "tga": "VipsForeignLoadMagick",
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
    "tga": "magickload",
}
_SAVERS = {
    "png": "pngsave",
    "jpg": "jpegsave",
    "webp": "webpsave",
    "avif": "heifsave",
    "tiff": "tiffsave",
    "gif": "gifsave",
    "heic": "heifsave",
    "jp2": "jp2ksave",
    "jxl": "jxlsave",
    "bmp": "magicksave",
    "ico": "pngsave",  # an icon file holds PNG pictures
}
_UNSAFE_SAVERS = {"jxl": "VipsForeignSaveJxl", "jp2": "VipsForeignSaveJp2k", "bmp": "VipsForeignSaveMagick"}
_NO_ALPHA = ("jpg", "bmp")
_NO_PROFILE = ("gif", "bmp", "jp2", "ico")
_EIGHT_BITS = ("bmp", "ico")
_DEFAULT_QUALITY = {"jpg": 85, "webp": 80, "avif": 60, "heic": 60, "jp2": 75, "jxl": 85}
_LONGEST_SIDE = {"webp": 16383, "jpg": 65500, "gif": 65535, "avif": 16384, "heic": 16384, "bmp": 32000}
"""Pixels, limits of the formats themselves; that of bitmaps is ours (inside/magick/policy.xml)."""
_METADATA = ("exif-", "xmp-", "iptc-", "photoshop-", "gif-comment", "png-comment")
"""Removed by ourselves: libvips 8.14 writes the place and the camera into WebP whatever it is told."""
_PROBE_SIDE = 64  # pixels; some encoders refuse less
_JXL_EFFORT = 5  # a third of the time of 7, for files hardly larger
_ANIMATION_FACTOR = 10
"""All frames together may have ten times the pixels of one picture: they are read one after another."""
_Size = tuple[int, int]


def main() -> None:
    """Load libvips, then wait for the one request: loading takes longer than a small picture."""
    try:
        library = libvips.Library()
    except OSError:
        library = None
    serve_stdin(functools.partial(_served, library))


def _served(library: libvips.Library | None, request: dict[str, Any]) -> dict[str, Any]:
    if library is None:
        raise Refused("missing", "libvips is not installed on this worker")
    return _able(library, request["probe"]) if "ask" in request else convert(library, request)


def convert(library: libvips.Library, request: dict[str, Any]) -> dict[str, Any]:
    """Read, turn upright, resize, mend the colours, write, and read back what was written."""
    options = request["options"]
    allowed = _UNSAFE_LOADERS.get(request["source_format"])
    library.allow(*([allowed] if allowed else []))
    source = _Source(library, request)
    if request["target_format"] == "ico":
        return _iconised(library, source, request)
    size = _wanted_size(source, options)
    _check_size(size, request)
    try:
        picture = _coloured(_sized(source, size), request)
        picture = _on_background(picture, request)
        _write(library, picture, request)
    except libvips.VipsError as error:
        _blame(source, error)
    frames = source.frames if request["target_format"] in ANIMATED else 1
    _verify(library, request, size.out, frames)
    return {"width": size.out[0], "height": size.out[1], "frames": frames, "pages": source.pages}


class _Source:
    """The picture to convert: its upright size, its pages, and how to open it again."""

    def __init__(self, library: libvips.Library, request: dict[str, Any]) -> None:
        self.library, self.path = library, _readable(request)
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


def _readable(request: dict[str, Any]) -> str:
    """The path of the source, or of a copy when its way of packing is one that libvips has no reader for."""
    if request["source_format"] != "tiff" or not old_jpeg.is_used(request["source"]):
        return str(request["source"])
    sys.path[:0] = request["packages"]
    copy = f"{request['source']}.png"
    old_jpeg.rewrite(request["source"], copy, request["options"].get("page") or 1, most_pixels=request["pixels"])
    return copy


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
    if picture.interpretation == libvips.GREY and picture.bands >= 3:
        picture = picture.taken_for_srgb()  # ImageMagick calls grey Targa files so, which would make two of three alpha
    is_cmyk = picture.interpretation == libvips.CMYK
    if request["target_format"] in _EIGHT_BITS and not picture.has_field("icc-profile-data") and not is_cmyk:
        return picture.in_srgb()
    keeps_profile = request["target_format"] not in _NO_PROFILE and not request["options"].get("strip", False)
    if not is_cmyk and (keeps_profile or not picture.has_field("icc-profile-data")):
        return picture
    try:
        return picture.without_profile()
    except libvips.VipsError:
        return picture.in_srgb()  # a broken profile is as good as none


def _on_background(picture: libvips.Picture, request: dict[str, Any]) -> libvips.Picture:
    colour = request["options"].get("background") or ("#ffffff" if request["target_format"] in _NO_ALPHA else None)
    if colour is None or not picture.has_alpha:
        return picture
    red, green, blue = (int(colour[position : position + 2], 16) for position in (1, 3, 5))
    return picture.in_srgb().flattened((red, green, blue))


def _write(library: libvips.Library, picture: libvips.Picture, request: dict[str, Any]) -> None:
    """Encode; a saver that libvips calls unsafe is opened only now, and the loader to check it only after that."""
    target = request["target_format"]
    library.also_allow(*([_UNSAFE_SAVERS[target]] if target in _UNSAFE_SAVERS else []))
    if request["options"].get("strip"):
        picture = picture.without(*_METADATA)
    picture.write(request["output"], _save_options(target, request["options"]))


def _iconised(library: libvips.Library, source: _Source, request: dict[str, Any]) -> dict[str, Any]:
    """One icon file with the picture in all usual sizes, none larger than the picture or than was asked for."""
    asked = [side for side in (request["options"].get(name) for name in ("width", "height")) if side]
    if max(asked, default=0) > icons.LARGEST:
        raise Refused("options", f"An icon has at most {icons.LARGEST} pixels per side")
    grows = source.is_vector or request["options"].get("enlarge", False)
    largest = max(asked) if asked else icons.LARGEST
    sizes = icons.sizes_up_to(largest if grows else min(largest, max(source.size)))
    paths = []
    try:
        for side in sizes:
            factor = side / max(source.size)
            inner = (max(round(part * factor), 1) for part in source.size)
            picture = _coloured(source.scaled(*inner), request)
            picture = _on_background(picture, request).in_srgb().centred(side)
            paths.append(f"{request['output']}.{side}.png")
            picture.write(paths[-1], "compression=9,strip=true")
    except libvips.VipsError as error:
        _blame(source, error)
    icons.write(request["output"], paths, sizes)
    _verify_icon(library, request["output"], sizes)
    return {"width": sizes[-1], "height": sizes[-1], "frames": 1, "pages": source.pages}


def _verify_icon(library: libvips.Library, path: str, sizes: list[int]) -> None:
    for side, part in zip(sizes, icons.taken_apart(path), strict=True):
        try:
            made = library.open(part, "fail_on=error,access=sequential")
            made.decode()
        except libvips.VipsError as error:
            raise Refused("output", f"The icon cannot be read: {error}") from error
        if (made.width, made.height) != (side, side):
            raise Refused("output", f"The icon is {made.width} × {made.height} pixels instead of {side} × {side}")


def _save_options(target_format: str, options: dict[str, Any]) -> str:
    quality = options.get("quality") or _DEFAULT_QUALITY.get(target_format)
    is_lossless = bool(options.get("lossless"))
    if is_lossless and target_format == "heic":
        raise Refused("options", "lossless: HEIC cannot be lossless here. Please choose png, webp, avif, jxl or tiff")
    if is_lossless and target_format == "jpg":
        raise Refused("options", "lossless: JPEG cannot be lossless. Please choose png, webp, avif or tiff")
    chosen = {
        "png": "compression=6",
        "jpg": f"Q={quality},optimize_coding=true",
        "webp": f"Q={quality},effort=4,lossless={str(is_lossless).lower()}",
        "avif": f"Q={quality},effort=3,bitdepth=8,compression=av1" + _avif_lossless(is_lossless),
        "tiff": "compression=lzw,predictor=horizontal",
        "gif": "effort=6",
        "heic": f"Q={quality},bitdepth=8,compression=hevc",
        "jp2": "lossless=true" if is_lossless else f"Q={quality}",
        "jxl": f"lossless=true,effort={_JXL_EFFORT}" if is_lossless else f"Q={quality},effort={_JXL_EFFORT}",
        "bmp": "format=bmp3",
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


_READ_SMALL = {"jpg": "shrink=8", "webp": "scale=0.125"}
"""Every bit of the file is still read and must make sense; only fewer pixels are made of it, which is half the work."""
_LARGE_SIDE = 64  # pixels; an eighth of much less would be none at all


def _verify(library: libvips.Library, request: dict[str, Any], size: _Size, frames: int) -> None:
    options = ",n=-1" if frames > 1 else ""
    loader = _UNSAFE_LOADERS.get(request["target_format"])
    library.also_allow(*([loader] if loader else []))
    try:
        made = library.open(request["output"], f"fail_on=error,access=sequential{options}")
        height = made.height // frames
        is_large = frames == 1 and min(size) >= _LARGE_SIDE
        small = _READ_SMALL.get(request["target_format"]) if is_large else None
        read = library.open(request["output"], f"fail_on=error,access=sequential,{small}") if small else made
        read.decode()
    except libvips.VipsError as error:
        raise Refused("output", f"The result cannot be read: {error}") from error
    if (made.width, height) != size or (frames > 1 and made.n_pages != frames):
        raise Refused("output", f"The result is {made.width} × {height} pixels instead of {size[0]} × {size[1]}")


def _able(library: libvips.Library, probe: str) -> dict[str, Any]:
    """What this libvips reads, and what it writes when it is tried: a saver may be there and its encoder not."""
    return {
        "version": library.version,
        "sources": [name for name, loader in _LOADERS.items() if library.has(loader)],
        "targets": [name for name, saver in _SAVERS.items() if library.has(saver) and _can_write(library, name, probe)],
    }


def _can_write(library: libvips.Library, target: str, probe: str) -> bool:
    """Whether a small picture can be written and read again."""
    if target == "ico":
        return True  # it is made of PNG, which is tried for itself
    request = {"target_format": target, "options": {}, "output": f"{probe}.{target}"}
    try:
        picture = library.from_memory(bytes(3 * _PROBE_SIDE**2), _PROBE_SIDE, _PROBE_SIDE)
        _write(library, picture, request)
        _verify(library, request, (_PROBE_SIDE, _PROBE_SIDE), 1)
    except (libvips.VipsError, Refused):
        return False
    return True
