"""Renders pages of a PDF with pdfium, encodes them with libvips and checks each; the result is the page count.

It is started ahead of need, with the folders of its packages as arguments, and waits for one request on stdin.
pdfium is not thread-safe, so several pages are distributed over forked processes.
"""

import functools
import sys
from typing import Any

from converto_engines.pdf.sandboxed import page_choice, pdfium
from converto_engines.pictures.sandboxed import libvips
from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused, serve_stdin

_LONGEST_SIDE = 10_000  # pixels
_PIXELS_AT_ONCE = 100_000_000
"""Pixels of all pages in progress, 3 bytes each: large pages are distributed over fewer processes."""
_MOST_PROCESSES = 8
_SMALLEST_DPI = 36
_Size = tuple[int, int]
_Libraries = tuple[libvips.Library, pdfium.Library]


def main() -> None:
    """Load both libraries, which takes longer than a simple page, then wait for one request."""
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
    """Open the document, check the sizes of the chosen pages, then render them, in parallel where possible."""
    # libvips starts its threads with the first picture, so forking after loading both libraries is safe.
    vips, library = libraries
    document = page_choice.opened(library, request["source"])
    chosen = page_choice.chosen(document.page_count, request["ranges"], most=request["pages"])
    units: dict[int, float] = {}
    if page_choice.is_unusual(document, request["source"], chosen):
        path, units = _prepared(request["source"], chosen)
        request = {**request, "source": path}
        document = page_choice.opened(library, path)
    sizes = {page: _pixel_size(document, page, request, units.get(page, 1)) for page in chosen}
    progress = page_choice.PageProgress(len(chosen))
    processes = _process_count(sizes)
    if processes == 1:
        for page in chosen:
            _draw(vips, document, page, sizes[page], request)
            progress.add()
    else:
        # Each process opens the document itself: a shared file descriptor has one read position for all.
        renderer = functools.partial(_Renderer, vips, library, sizes, request)
        process_pool.run(chosen, lambda: renderer().draw, processes, lambda _page: progress.add())
    return {"count": document.page_count}


def _prepared(path: str, pages: list[int]) -> tuple[str, dict[int, float]]:
    sys.path[:0] = sys.argv[1:]
    from converto_engines.pdf.sandboxed import page_boxes  # noqa: PLC0415 -- needed for few documents

    return page_boxes.prepared(path, pages)


class _Renderer:
    """The document and library handles of one process."""

    def __init__(
        self, vips: libvips.Library, library: pdfium.Library, sizes: dict[int, _Size], request: dict[str, Any]
    ) -> None:
        self._vips, self._sizes, self._request = vips, sizes, request
        self._document = page_choice.opened(library, request["source"])

    def draw(self, page: int) -> None:
        """Render one page."""
        _draw(self._vips, self._document, page, self._sizes[page], self._request)


def _process_count(sizes: dict[int, _Size]) -> int:
    largest = max(width * height for width, height in sizes.values())
    at_once = max(_PIXELS_AT_ONCE // largest, 1)
    return min(process_pool.cpu_count(), len(sizes), at_once, _MOST_PROCESSES)


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
        raise Refused("output", f"The picture of page {page} has the wrong size: {made.width} × {made.height} pixels")


def _pixel_size(document: pdfium.Document, page: int, request: dict[str, Any], unit: float) -> _Size:
    inches = page_choice.size_of(document, page, unit=unit)
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
    problem = f"Page {page} would be {size[0]} × {size[1]} pixels; at most {_LONGEST_SIDE:,} per side are allowed"
    if dpi < _SMALLEST_DPI:
        return f"{problem}. It is {inches[0]:.0f} × {inches[1]:.0f} inches large: set width, in pixels, instead of dpi"
    advice = f"width {int(dpi * inches[0])}" if request["width"] else f"{dpi} dpi"
    return f"{problem}. The largest that fits is {advice}"
