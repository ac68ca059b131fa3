"""Renders pages of a PDF with pdfium, encodes them with libvips and checks each. Runs inside the sandbox, once per PDF.

Started as `pages.py REQUEST_JSON`; it speaks as `answering.py` says, and answers with the document's count of pages.
"""

import os
import sys
import threading
from typing import Any

TYPE_CHECKING = False  # read as True by type checkers; the real module would cost time to import
if TYPE_CHECKING:
    from converto_engines.inside import libvips, pdfium
    from converto_engines.inside.answering import Refused, serve_argument, tell
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 -- pathlib costs time
    import libvips
    import pdfium
    from answering import Refused, serve_argument, tell

_LONGEST_SIDE = 10_000  # pixels
_PIXELS_IN_FLIGHT = 100_000_000
"""Rendered pages waiting to be encoded, 3 bytes per pixel; a page larger than that goes alone."""
_ENCODERS = 2
_SMALLEST_DPI = 36
_Size = tuple[int, int]


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Open, choose the pages, check their sizes, then render and encode them side by side."""
    if request.get("ask") == "able":
        _libraries(request)
        return {}
    vips, document = _libraries(request)[0], _opened(request)
    chosen = _chosen(document.page_count, request)
    sizes = {page: _pixel_size(document, page, request) for page in chosen}
    encoding = _Encoding(vips, request, of=len(chosen))
    for page in chosen:
        width, height = sizes[page]
        encoding.wait_for_room(width * height)
        try:
            pixels = document.render(page - 1, width, height)
        except pdfium.PdfError as error:
            raise Refused("corrupt", f"The PDF is damaged: {error}") from error
        encoding.add(page, pixels, sizes[page])
    encoding.finish()
    return {"count": document.page_count}


def _libraries(request: dict[str, Any]) -> tuple[libvips.Library, pdfium.Library]:
    try:
        return libvips.Library(), pdfium.Library(request["pdfium"])
    except OSError as error:
        raise Refused("missing", "libvips or pdfium is not installed on this worker") from error


def _opened(request: dict[str, Any]) -> pdfium.Document:
    try:
        document = pdfium.Library(request["pdfium"]).open(request["source"])
    except pdfium.PasswordNeeded as error:
        raise Refused("encrypted", "") from error
    except pdfium.PdfError as error:
        raise Refused("corrupt", "") from error
    if document.page_count < 1:
        raise Refused("corrupt", "The PDF has no pages")
    return document


def _chosen(count: int, request: dict[str, Any]) -> list[int]:
    ranges = request["ranges"] or [[1, count]]
    last = max(end for _, end in ranges)
    if last > count:
        pages = "1 page" if count == 1 else f"{count} pages"
        raise Refused("options", f"pages: page {last} was asked for, but the document has {pages}")
    chosen = sorted({page for start, end in ranges for page in range(start, end + 1)})
    if len(chosen) > request["pages"]:
        raise Refused("too_large", f"{len(chosen):,} pages are too many; {request['pages']:,} are allowed at once")
    return chosen


def _pixel_size(document: pdfium.Document, page: int, request: dict[str, Any]) -> _Size:
    try:
        inches = document.size(page - 1)
    except pdfium.PdfError as error:
        raise Refused("corrupt", f"The PDF is damaged: {error}") from error
    if min(inches) <= 0:
        raise Refused("corrupt", f"The PDF is damaged: page {page} has no size")
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


class _Encoding:
    """Encodes rendered pages in threads of its own while the next page is rendered."""

    def __init__(self, vips: libvips.Library, request: dict[str, Any], *, of: int) -> None:
        self._vips, self._request, self._of = vips, request, of
        self._change = threading.Condition()
        self._waiting: list[tuple[int, Any, _Size]] = []
        self._pixels = self._written = 0
        self._error: BaseException | None = None
        for _ in range(min(_ENCODERS, of)):
            threading.Thread(target=self._encode_all, daemon=True).start()

    def wait_for_room(self, pixels: int) -> None:
        """Return when so many pixels more may be held; raises what went wrong in a thread."""
        with self._change:
            self._change.wait_for(lambda: self._error or not self._pixels or self._pixels + pixels <= _PIXELS_IN_FLIGHT)
            self._raise()

    def add(self, page: int, pixels: Any, size: _Size) -> None:
        """Hand over one page."""
        with self._change:
            self._pixels += size[0] * size[1]
            self._waiting.append((page, pixels, size))
            self._change.notify_all()

    def finish(self) -> None:
        """Return when every page is written; raises what went wrong in a thread."""
        with self._change:
            self._change.wait_for(lambda: self._error or self._written == self._of)
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _encode_all(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting)
                page, pixels, size = self._waiting.pop(0)
            try:
                self._encode(page, pixels, size)
            except BaseException as error:  # noqa: BLE001 -- carried over to the main thread, which raises it
                with self._change:
                    self._error = error
                    self._change.notify_all()
                return
            del pixels
            with self._change:
                self._pixels -= size[0] * size[1]
                self._written += 1
                tell(100 * self._written / self._of, f"page {self._written} of {self._of}")
                self._change.notify_all()

    def _encode(self, page: int, pixels: Any, size: _Size) -> None:
        path = self._request["output"] % page
        self._vips.from_memory(pixels, *size).write(path, self._request["save"])
        made = self._vips.open(path, "fail_on=error,access=sequential")
        made.decode()
        if (made.width, made.height) != size:
            raise Refused("output", f"Page {page} came out as {made.width} × {made.height} pixels")


if __name__ == "__main__":
    serve_argument(convert)
