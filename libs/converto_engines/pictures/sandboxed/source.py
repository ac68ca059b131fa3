"""Opens the picture to convert: checks its limits, chooses the page, and reads it upright or scaled."""

import sys
from typing import Any, NoReturn

from converto_engines.pictures.sandboxed import libvips, old_jpeg
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
_ANIMATION_FACTOR = 10
"""All frames together may have ten times the pixels of one picture, because they are decoded one after another."""
Size = tuple[int, int]


class Source:
    """The picture to convert: `size` of one upright frame in pixels, `pages`, `frames` to convert."""

    def __init__(self, library: libvips.Library, request: dict[str, Any]) -> None:
        self.library, self.path = library, _readable_path(request)
        self.is_vector = request["source_format"] == "svg"
        first = self._open("fail_on=error,access=sequential")
        self.pages = max(first.n_pages, 1)
        self._page: int | None = request["options"].get("page") or self._default_page(request["source_format"])
        self.options = f"fail_on=error{self._page_options(request)}"
        header = self._open(f"{self.options},access=sequential") if self.pages > 1 else first
        self.frames = header.height // header.page_height if self.pages > 1 and header.page_height else 1
        self.is_upright = header.orientation == 1
        width, height = header.width, header.height // self.frames
        _check_pixels((width, height), self.frames, request)
        self.size: Size = (height, width) if header.orientation >= 5 else (width, height)

    def picture(self) -> libvips.Picture:
        """Return the upright picture; one that must be rotated cannot be streamed from top to bottom."""
        if self.is_upright:
            return self._open(f"{self.options},access=sequential")
        return self._open(self.options).upright()

    def scaled(self, width: int, height: int) -> libvips.Picture:
        """Return the upright picture scaled to this size of one frame."""
        return self.library.resized(self.path, self.options, width, height)

    def raise_cause(self, error: libvips.VipsError) -> NoReturn:
        """Raise `Refused` if the source alone cannot be decoded, else `error`; libvips reads pixels while it writes."""
        try:
            self.library.open(self.path, f"{self.options},access=sequential").decode()
        except libvips.VipsError as cause:
            raise Refused("corrupt", "") from cause
        raise error

    def _page_options(self, request: dict[str, Any]) -> str:
        if self._page is not None and self._page > self.pages:
            noun = "page" if self.pages == 1 else "pages"
            raise Refused("options", f"page: the picture has only {self.pages} {noun}, not {self._page}")
        if self.pages == 1:
            return ""
        if self._page is not None:
            return f",page={self._page - 1}"
        is_animated = request["source_format"] in ANIMATED and request["target_format"] in ANIMATED
        return ",n=-1" if is_animated else ""

    def _default_page(self, source_format: str) -> int | None:
        return _largest_icon(self.path) if source_format == "ico" and self.pages > 1 else None

    def _open(self, options: str) -> libvips.Picture:
        try:
            return self.library.open(self.path, options)
        except libvips.VipsError as error:
            raise Refused("corrupt", "") from error


def _readable_path(request: dict[str, Any]) -> str:
    """Return the source's path, or the path of a PNG copy of a TIFF that libvips cannot read."""
    if request["source_format"] != "tiff" or not old_jpeg.is_used(request["source"]):
        return str(request["source"])
    sys.path[:0] = request["packages"]
    copy = f"{request['source']}.png"
    old_jpeg.rewrite(request["source"], copy, request["options"].get("page") or 1, max_pixels=request["pixels"])
    return copy


def _largest_icon(path: str) -> int:
    """Return the page with the largest size of an icon; each 16-byte directory entry begins with the width."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        header = file.read(6 + 16 * 256)
    count = int.from_bytes(header[4:6], "little")
    widths = [header[6 + 16 * index] or 256 for index in range(count) if len(header) >= 22 + 16 * index]
    return widths.index(max(widths)) + 1 if widths else 1


def _check_pixels(size: Size, frames: int, request: dict[str, Any]) -> None:
    if frames > request["frames"]:
        raise Refused("too_large", f"The animation has {frames:,} frames; at most {request['frames']:,} are allowed")
    limit = request["pixels"]
    if size[0] * size[1] > limit or size[0] * size[1] * frames > limit * _ANIMATION_FACTOR:
        of_frames = f" × {frames} frames" if frames > 1 else ""
        raise Refused(
            "too_large",
            f"The picture is {size[0]} × {size[1]} pixels{of_frames}; "
            f"at most {limit // 1_000_000} million pixels are allowed",
        )
