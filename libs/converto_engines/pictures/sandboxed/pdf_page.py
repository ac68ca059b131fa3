"""Puts the pages of a picture on the pages of a PDF and verifies it.

Black-and-white pages stay so, without loss (CCITT group 4); all others become JPEG. libvips reads, pikepdf writes, and
pdfium verifies. The result has the numbers of `pictures.py`.
"""

import sys
from typing import Any

from converto_engines.pdf.sandboxed import pdfium
from converto_engines.pictures.sandboxed import libvips
from converto_engines.pictures.sandboxed.page_pdf import Page
from converto_engines.pictures.sandboxed.pictures import convert_source, described, opened
from converto_engines.pictures.sandboxed.source import Source
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_argument

_PAGED = ("tiff", "heic")
"""Formats whose pictures are pages; those of the others are the frames of an animation, or sizes of an icon."""
_POINTS_PER_INCH = 72
_SCREEN_DPI = 96  # one CSS pixel; a picture of 1,920 × 1,080 becomes a page of 20 × 11.25 inches
_STATED_DPI = (73, 9600)
"""The resolutions that are believed: cameras write 72 into any picture, and libvips says 25.4 where there is none."""
_LONGEST_SIDE = 65_500  # pixels; limit of JPEG
_MAX_SIDE_POINTS = 14_400  # limit of PDF readers
_TOLERANCE_INCHES = 0.02
_PROBE_PIXELS = 64  # the longer side of a page when it is rendered as a check
_PROGRESS_OF_PAGES = 90.0  # percent; the rest is for writing and verifying


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write all pages, or the chosen one, into one PDF."""
    sys.path[:0] = request["packages"]
    from converto_engines.pictures.sandboxed import page_pdf  # noqa: PLC0415 -- needs sys.path from above

    library = _library()
    first = opened(library, _page_request(request, request["options"].get("page")))
    pages, source = [], first
    for number in (numbers := _chosen(first, request)):
        source = first if number == first.page else opened(library, _page_request(request, number))
        pages.append(_page(library, source, _page_request(request, number)))
        report_progress(_PROGRESS_OF_PAGES * len(pages) / len(numbers), f"page {len(pages)} of {len(numbers)}")
    page_pdf.write(pages, request["output"])
    _verify(request, pages)
    scaled = next((page.samples for page in pages if page.samples), None)
    return {**described(first), "frames": len(pages), "samples": scaled}


def _library() -> libvips.Library:
    try:
        return libvips.Library()
    except OSError as error:
        raise Refused("missing", "libvips is not installed on this worker") from error


def _page_request(request: dict[str, Any], page: int | None) -> dict[str, Any]:
    options = {**request["options"], "page": page, "strip": True}  # a PDF shows sRGB, so profiles are applied now
    return {**request, "target_format": "jpg", "options": options, "output": f"{request['output']}.{page or 1}.jpg"}


def _chosen(source: Source, request: dict[str, Any]) -> list[int]:
    if request["options"].get("page") or request["source_format"] not in _PAGED:
        return [source.page]
    if source.pages > request["frames"]:
        allowed = f"at most {request['frames']:,} are allowed"
        raise Refused("too_large", f"The picture has {source.pages:,} pages; {allowed}")
    return list(range(1, source.pages + 1))


def _page(library: libvips.Library, source: Source, request: dict[str, Any]) -> Page:
    width = request["options"].get("width")
    is_shrunk = bool(width) and (source.is_vector or width < source.size[0])
    if not is_shrunk and source.is_black_and_white():
        path = f"{request['output']}.png"
        source.picture().write(path, "compression=1")
        return Page(path, source.size, _points(source, source.size), is_black_and_white=True)
    if not is_shrunk and max(source.size) > _LONGEST_SIDE:
        limit = f"at most {_LONGEST_SIDE:,} per side fit on a page. Set width"
        raise Refused("too_large", f"The picture is {source.size[0]} × {source.size[1]} pixels; {limit}")
    made = convert_source(library, source, request)
    size = made["width"], made["height"]
    bands = library.open(request["output"], "").bands
    return Page(request["output"], size, _points(source, size), is_grey=bands == 1, samples=made["samples"])


def _points(source: Source, size: tuple[int, int]) -> tuple[float, float]:
    """Return width and height of the page: as the source states, else as on a screen."""
    lowest, highest = _STATED_DPI
    is_stated = all(lowest <= dpi <= highest for dpi in source.dpi)
    across, down = source.dpi if is_stated else (_SCREEN_DPI, _SCREEN_DPI)
    width, height = source.size if is_stated else size
    points = width / across * _POINTS_PER_INCH, height / down * _POINTS_PER_INCH
    scale = min(1.0, _MAX_SIDE_POINTS / max(points))
    return points[0] * scale, points[1] * scale


def _verify(request: dict[str, Any], pages: list[Page]) -> None:
    """Read the PDF with another library than the one that wrote it, and draw each page."""
    try:
        document = pdfium.Library(request["pdfium"]).open(request["output"])
        if document.page_count != len(pages):
            raise Refused("output", f"The result has {document.page_count} pages instead of {len(pages)}")
        for index, page in enumerate(pages):
            inches = document.size(index)
            wanted = [side / _POINTS_PER_INCH for side in page.points]
            if any(abs(made - side) > _TOLERANCE_INCHES for made, side in zip(inches, wanted, strict=True)):
                raise Refused("output", f"Page {index + 1} of the result has the wrong size")
            scale = _PROBE_PIXELS / max(inches)
            document.render(index, *(max(round(side * scale), 1) for side in inches))
    except pdfium.PdfError as error:
        raise Refused("output", f"The result cannot be read: {error}") from error


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(convert)
