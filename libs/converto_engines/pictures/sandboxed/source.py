"""Opens the picture to convert: checks its limits, chooses the page, and reads it upright or scaled."""

import sys
from typing import Any, NoReturn

from converto_engines.pictures.sandboxed import libvips, refusals, rewriting, samples, svg, tiff
from converto_engines.runtime.sandboxed.protocol import Refused

ANIMATED = ("gif", "webp")
UNSAFE_LOADERS = {
    "svg": "VipsForeignLoadSvg",
    "jp2": "VipsForeignLoadJp2k",
    "jxl": "VipsForeignLoadJxl",
    "bmp": "VipsForeignLoadMagick",
    "ico": "VipsForeignLoadMagick",
    "psd": "VipsForeignLoadMagick",
    "tga": "VipsForeignLoadMagick",
}
"""Loaders that libvips marks as unsafe; each is enabled only for sources of its own format."""
LOADERS = {
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
Size = tuple[int, int]


class Source:
    """The picture to convert: `size` of one upright frame in pixels, `pages`, `frames` to convert, and from `page`."""

    def __init__(self, library: libvips.Library, request: dict[str, Any]) -> None:
        self.library, self._request = library, request
        self.path, self.format = _readable(request)
        self.is_vector = self.format == "svg"
        self.samples: samples.Range | None = None
        first = self._open("fail_on=error,access=sequential")
        self._numbers = self._page_numbers(first.n_pages)
        self.pages = max(len(self._numbers), 1)
        chosen: int | None = request["options"].get("page") or self._default_page()
        self.page = chosen or 1
        self.options = f"fail_on=error{self._page_options(chosen)}"
        header = self._open(f"{self.options},access=sequential") if first.n_pages > 1 else first
        self.frames = header.height // header.page_height if self.pages > 1 and header.page_height else 1
        self.is_upright = header.orientation == 1
        width, height = header.width, header.height // self.frames
        refusals.check_pixels((width, height), self.frames, request)
        is_turned = header.orientation >= 5
        self.size: Size = (height, width) if is_turned else (width, height)
        self.dpi = header.dpi[::-1] if is_turned else header.dpi

    def measure(self) -> None:
        """Learn whether the samples of a TIFF have to be scaled to a brightness; decodes it when they may have to."""
        if self.format != "tiff":
            return
        try:
            self.samples = samples.range_of(self._upright)
        except libvips.VipsError as error:
            raise self._refusal(error) from error

    def picture(self) -> libvips.Picture:
        """Return the upright picture; one that must be rotated cannot be streamed from top to bottom."""
        picture = self._upright()
        return picture if self.samples is None else samples.scaled(picture, self.samples)

    def scaled(self, width: int, height: int) -> libvips.Picture:
        """Return the upright picture scaled to this size of one frame."""
        if self.samples is not None:
            return self.picture().shrunk(width, height)
        return self.library.resized(self.path, self.options, width, height)

    def is_black_and_white(self) -> bool:
        """Return whether each pixel is black or white; decodes a picture with one channel of 8 bits."""
        picture = self._upright()
        if picture.bands != 1 or picture.format != samples.UCHAR or picture.interpretation != libvips.GREY:
            return False
        try:
            return picture.has_only_black_and_white()
        except libvips.VipsError as error:
            raise self._refusal(error) from error

    def raise_cause(self, error: libvips.VipsError) -> NoReturn:
        """Raise `Refused` if the source alone cannot be decoded, else `error`; libvips reads pixels while it writes."""
        try:
            self.library.open(self.path, f"{self.options},access=sequential").decode()
        except libvips.VipsError as cause:
            raise self._refusal(cause) from cause
        raise error

    def _upright(self) -> libvips.Picture:
        if self.is_upright:
            return self._open(f"{self.options},access=sequential")
        return self._open(self.options).upright()

    def _page_numbers(self, count: int) -> list[int]:
        """Return libvips' numbers of the pages, from 0."""
        numbers = tiff.page_numbers(self._request["source"]) if self._request["source_format"] == "tiff" else []
        is_copied = self.path != self._request["source"]
        return numbers if numbers and (is_copied or numbers[-1] < count) else list(range(count))

    def _page_options(self, chosen: int | None) -> str:
        if chosen is not None and chosen > self.pages:
            noun = "page" if self.pages == 1 else "pages"
            raise Refused("options", f"page: the picture has only {self.pages} {noun}, not {chosen}")
        if self.format in ANIMATED and self._request["target_format"] in ANIMATED and chosen is None and self.pages > 1:
            return ",n=-1"
        number = self._numbers[self.page - 1] if self._numbers else 0
        is_old_jpeg = self.format != self._request["source_format"] and self._request["source_format"] == "tiff"
        return f",page={number}" if number and not is_old_jpeg else ""

    def _default_page(self) -> int | None:
        return _largest_icon(self.path) if self.format == "ico" and self.pages > 1 else None

    def _open(self, options: str) -> libvips.Picture:
        try:
            return self.library.open(self.path, options)
        except libvips.VipsError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: libvips.VipsError) -> Refused:
        return refusals.of(self.path, self.format, error, max_pixels=self._request["pixels"])


def _readable(request: dict[str, Any]) -> tuple[str, str]:
    """Return path and format of the source, or of a copy where libvips cannot read the source or not all of it."""
    path, source_format = str(request["source"]), str(request["source_format"])
    if source_format == "svg":
        return svg.readable_path(path), source_format
    if source_format == "tiff" and tiff.has_old_jpeg(path):
        sys.path[:0] = request["packages"]
        copy = f"{path}.png"
        rewriting.rewrite_old_jpeg(path, copy, request)
        return copy, "png"
    if _is_rewritten_animation(path, source_format):
        sys.path[:0] = request["packages"]
        copy = f"{path}.webp"
        rewriting.rewrite_animation(path, copy, source_format, request)
        return copy, "webp"
    return path, source_format


def _is_rewritten_animation(path: str, source_format: str) -> bool:
    """Return whether the file holds an animation of which libvips reads only the first picture, or nothing."""
    if source_format == "png":
        return rewriting.is_animated_png(path)
    return source_format == "avif" and refusals.is_sequence(path)


def _largest_icon(path: str) -> int:
    """Return the page with the largest size of an icon; each 16-byte directory entry begins with the width."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        header = file.read(6 + 16 * 256)
    count = int.from_bytes(header[4:6], "little")
    widths = [header[6 + 16 * index] or 256 for index in range(count) if len(header) >= 22 + 16 * index]
    return widths.index(max(widths)) + 1 if widths else 1
