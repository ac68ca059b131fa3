"""Reduces the pictures of a PDF to the displayed resolution and stores them as JPEG where that is smaller.

Pictures that JPEG would damage or that are complex to decode stay unchanged: masks, palettes, CMYK, 1-bit pictures and
JPEG 2000. Needs pikepdf and pillow.
"""

import io
from collections.abc import Iterator
from typing import Any

import pikepdf
from PIL import Image

from converto_engines.runtime.sandboxed.protocol import report_progress

Image.MAX_IMAGE_PIXELS = None  # the limit of the request is checked instead
_POINTS_PER_INCH = 72
_MAX_DEPTH, _MAX_STREAMS = 12, 20_000
_SHRINK_FROM = 1.15  # a smaller factor is not worth the loss of resampling
_LARGEST_RESULT = 0.95  # of the size before
_SMALLEST_BYTES = 4096
_CHANNELS = {"/DeviceGray": 1, "/CalGray": 1, "/DeviceRGB": 3, "/CalRGB": 3}
_MODES = {1: "L", 3: "RGB"}
_Matrix = tuple[float, float, float, float, float, float]
_Inches = tuple[float, float]
_IDENTITY: _Matrix = (1, 0, 0, 1, 0, 0)


def shrink(pdf: pikepdf.Pdf, indices: list[int], *, dpi: int, quality: int, most_pixels: int) -> None:
    """Reduce the pictures on these pages to `dpi`; no picture becomes larger than before."""
    shown = _DisplayedSizes()
    for index in indices:
        shown.add_page(pdf.pages[index])
    for number, (object_id, inches) in enumerate(shown.sizes.items(), start=1):
        picture = pdf.get_object(object_id)
        try:
            _shrink(picture, inches, dpi, quality, most_pixels)
        except (pikepdf.PdfError, OSError, ValueError, TypeError, SyntaxError, NotImplementedError):
            continue  # a picture that cannot be decoded stays unchanged
        report_progress(5 + 45 * number / len(shown.sizes), f"picture {number} of {len(shown.sizes)}")


class _DisplayedSizes:
    """The largest displayed size of each picture, found by following the content streams of the pages."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[int, int], _Inches] = {}
        self._left = _MAX_STREAMS

    def add_page(self, page: pikepdf.Page) -> None:
        """Follow the content stream of one page."""
        unit = page.obj.get("/UserUnit", 1)
        scale = float(unit) if isinstance(unit, (int, float)) or hasattr(unit, "__float__") else 1.0
        self._follow(page.obj, page.resources, (scale, 0, 0, scale, 0, 0), 0)

    def _follow(self, drawn: Any, resources: Any, matrix: _Matrix, depth: int) -> None:
        self._left -= 1
        named = resources.get("/XObject") if isinstance(resources, pikepdf.Dictionary) else None
        if depth > _MAX_DEPTH or self._left < 0 or not isinstance(named, pikepdf.Dictionary):
            return
        for name, placed in _placed(drawn, matrix):
            entry = named.get(name)
            if not isinstance(entry, pikepdf.Stream):
                continue
            if entry.get("/Subtype") == "/Form":
                inner = _times(_matrix_of(entry.get("/Matrix")), placed)
                self._follow(entry, entry.get("/Resources", resources), inner, depth + 1)
            elif entry.get("/Subtype") == "/Image":
                self._note(entry, placed)

    def _note(self, picture: Any, placed: _Matrix) -> None:
        width, height = ((placed[first] ** 2 + placed[first + 1] ** 2) ** 0.5 / _POINTS_PER_INCH for first in (0, 2))
        before = self.sizes.get(picture.objgen, (0.0, 0.0))
        self.sizes[picture.objgen] = (max(width, before[0]), max(height, before[1]))


def _placed(drawn: Any, start: _Matrix) -> Iterator[tuple[str, _Matrix]]:
    """Names of what a content stream places, and the matrix it is placed with."""
    try:
        instructions = pikepdf.parse_content_stream(drawn, operators="q Q cm Do")
    except (pikepdf.PdfError, TypeError, ValueError):
        return
    matrix, kept = start, []
    for instruction in instructions:
        operands: Any = instruction.operands
        match str(instruction.operator):
            case "q":
                kept.append(matrix)
            case "Q":
                matrix = kept.pop() if kept else start
            case "cm":
                matrix = _times(_matrix_of(operands), matrix)
            case "Do" if len(operands) == 1:
                yield str(operands[0]), matrix


def _matrix_of(numbers: Any) -> _Matrix:
    try:
        a, b, c, d, e, f = (float(number) for number in numbers)
    except (TypeError, ValueError):
        return _IDENTITY
    return a, b, c, d, e, f


def _times(first: _Matrix, second: _Matrix) -> _Matrix:
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


def _shrink(picture: Any, inches: _Inches, dpi: int, quality: int, most_pixels: int) -> None:
    channels = _channels(picture)
    size = (int(picture.get("/Width", 0)), int(picture.get("/Height", 0)))
    before = len(picture.read_raw_bytes())
    if channels is None or min(size) < 1 or size[0] * size[1] > most_pixels or before < _SMALLEST_BYTES:
        return
    pixels = _pixels(picture, size, _MODES[channels])
    if pixels is None:
        return
    wanted = _wanted(size, inches, dpi)
    if wanted != size:
        pixels = pixels.resize(wanted, Image.Resampling.LANCZOS, reducing_gap=3.0)
    made = io.BytesIO()
    pixels.save(made, "JPEG", quality=quality, optimize=True)
    if len(made.getvalue()) > before * _LARGEST_RESULT:
        return
    picture.write(made.getvalue(), filter=pikepdf.Name.DCTDecode)
    picture["/Width"], picture["/Height"] = wanted


def _wanted(size: tuple[int, int], inches: _Inches, dpi: int) -> tuple[int, int]:
    if min(inches) <= 0:
        return size
    factor = min(side / (length * dpi) for side, length in zip(size, inches, strict=True))
    if factor < _SHRINK_FROM:
        return size
    return max(round(size[0] / factor), 1), max(round(size[1] / factor), 1)


def _channels(picture: Any) -> int | None:
    """Return the channels of an 8-bit grey or RGB picture whose exact values do not matter; None for all others."""
    mask = picture.get("/Mask")
    soft = picture.get("/SMask")
    has_key = isinstance(mask, pikepdf.Array)
    has_matte = isinstance(soft, pikepdf.Stream) and "/Matte" in soft
    depends = has_key or has_matte or "/Decode" in picture or "/SMaskInData" in picture
    if bool(picture.get("/ImageMask", False)) or depends or picture.get("/BitsPerComponent") != 8:
        return None
    space = picture.get("/ColorSpace")
    if isinstance(space, pikepdf.Name):
        return _CHANNELS.get(str(space))
    if not isinstance(space, pikepdf.Array) or not len(space):
        return None
    if str(space[0]) == "/ICCBased" and len(space) == 2:
        count = int(space[1].get("/N", 0))
        return count if count in _MODES else None
    return _CHANNELS.get(str(space[0]))


def _pixels(picture: Any, size: tuple[int, int], mode: str) -> Image.Image | None:
    filters = picture.get("/Filter")
    names = [str(name) for name in filters] if isinstance(filters, pikepdf.Array) else [str(filters)] if filters else []
    if names == ["/DCTDecode"]:
        if "/DecodeParms" in picture:
            return None
        found = Image.open(io.BytesIO(picture.read_raw_bytes()), formats=["JPEG"])
        if found.size != size or found.mode != mode:
            return None
        found.load()
        return found
    if {"/DCTDecode", "/JPXDecode", "/JBIG2Decode", "/CCITTFaxDecode"} & set(names):
        return None
    content = picture.read_bytes()
    if len(content) < size[0] * size[1] * len(mode):
        return None
    return Image.frombytes(mode, size, content[: size[0] * size[1] * len(mode)])
