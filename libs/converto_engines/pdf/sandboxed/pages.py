"""Renders pages of a PDF with pdfium, encodes them with libvips and checks each. Runs inside the sandbox, once per PDF.

Started as `pages.py PACKAGES`, ahead of need; it waits for its one request on stdin, speaks as `protocol.py` says, and
answers with the document's count of pages.
pdfium serves one thread only, so several pages are shared out among processes, which are forked from this one.
"""

import functools
import sys
from typing import Any

from converto_engines.pdf.sandboxed import page_choice, pdfium
from converto_engines.pictures.sandboxed import libvips
from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_stdin

_LONGEST_SIDE = 10_000  # pixels
_PIXELS_AT_ONCE = 100_000_000
"""Pixels of all pages that are being drawn, 3 bytes each: large pages are shared out among fewer processes."""
_MOST_PROCESSES = 8
_SMALLEST_DPI = 36
_Size = tuple[int, int]
_Libraries = tuple[libvips.Library, pdfium.Library]


def main() -> None:
    """Load both libraries, then wait for the one request: loading takes longer than a simple page."""
    try:
        libraries = libvips.Library(), pdfium.Library(f"{sys.argv[1]}/pypdfium2_raw/libpdfium.so")
    except OSError:
        libraries = None
    serve_stdin(functools.partial(_served, libraries))


def _served(libraries: _Libraries | None, request: dict[str, Any]) -> dict[str, Any]:
    if libraries is None:
        raise Refused("missing", "libvips or pdfium is not installed on this worker")
    return {} if "ask" in request else convert(libraries, request)


def convert(libraries: _Libraries, request: dict[str, Any]) -> dict[str, Any]:
    """Open, choose the pages, check their sizes, then draw them, several at once where there are cores for it."""
    # libvips has no thread before its first picture, so this process may still be forked after both are loaded.
    vips, library = libraries
    document = page_choice.opened(library, request["source"])
    chosen = page_choice.chosen(document.page_count, request["ranges"], most=request["pages"])
    sizes = {page: _pixel_size(document, page, request) for page in chosen}
    written = 0

    def count(_page: int) -> None:
        nonlocal written
        written += 1
        report_progress(100 * written / len(chosen), f"page {written} of {len(chosen)}")

    processes = _process_count(sizes)
    if processes == 1:
        for page in chosen:
            _draw(vips, document, page, sizes[page], request)
            count(page)
    else:
        # Each process opens the document anew: a file that is shared would have one reading position for all.
        process_pool.run(chosen, lambda: _Pages(vips, library, sizes, request).draw, processes, count)
    return {"count": document.page_count}


class _Pages:
    """What one of several processes draws with."""

    def __init__(
        self, vips: libvips.Library, library: pdfium.Library, sizes: dict[int, _Size], request: dict[str, Any]
    ) -> None:
        self._vips, self._sizes, self._request = vips, sizes, request
        self._document = page_choice.opened(library, request["source"])

    def draw(self, page: int) -> None:
        """Make the picture of one page."""
        _draw(self._vips, self._document, page, self._sizes[page], self._request)


def _process_count(sizes: dict[int, _Size]) -> int:
    largest = max(width * height for width, height in sizes.values())
    room = max(_PIXELS_AT_ONCE // largest, 1)
    return min(process_pool.cpu_count(), len(sizes), room, _MOST_PROCESSES)


def _draw(vips: libvips.Library, document: pdfium.Document, page: int, size: _Size, request: dict[str, Any]) -> None:
    try:
        pixels = document.render(page - 1, *size)
    except pdfium.PdfError as error:
        raise Refused("corrupt", f"The PDF is damaged: {error}") from error
    path = request["output"] % page
    vips.from_memory(pixels, *size).write(path, request["save"])
    made = vips.open(path, "fail_on=error,access=sequential")
    made.decode()
    if (made.width, made.height) != size:
        raise Refused("output", f"Page {page} came out as {made.width} × {made.height} pixels")


def _pixel_size(document: pdfium.Document, page: int, request: dict[str, Any]) -> _Size:
    inches = page_choice.size_of(document, page)
    dpi = request["width"] / inches[0] if request["width"] else request["dpi"]
    width, height = (max(round(side * dpi), 1) for side in inches)
    if request["width"]:
        width = request["width"]
    if max(width, height) > _LONGEST_SIDE or width * height > request["pixels"]:
        raise Refused("too_large", _too_large(page, inches, (width, height), request))
    return width, height


def _too_large(page: int, inches: tuple[float, float], size: _Size, request: dict[str, Any]) -> str:
    side_dpi = _LONGEST_SIDE / max(inches)
    area_dpi = (request["pixels"] / (inches[0] * inches[1])) ** 0.5
    dpi = int(min(side_dpi, area_dpi))
    told = f"Page {page} would be {size[0]} × {size[1]} pixels; at most {_LONGEST_SIDE:,} per side are allowed"
    if dpi < _SMALLEST_DPI:
        return (
            f"{told}. It is {inches[0]:.0f} × {inches[1]:.0f} inches large: please set width, in pixels, instead of dpi"
        )
    advice = f"width {int(dpi * inches[0])}" if request["width"] else f"{dpi} dpi"
    return f"{told}. The most that fits is {advice}"
