"""Opens a PDF with pdfium and resolves the requested pages, for all PDF programs. Standard library only."""

import mmap
import re
import zlib
from typing import Any

from converto_engines.pdf.sandboxed import pdfium
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress

_UNIT = b"/UserUnit"
_OBJECT_STREAM = re.compile(rb"/ObjStm\b[^\0]{0,1000}?stream\r?\n")
_OBJECT_STREAM_BYTES = 1024**2  # they hold a few hundred small objects; a larger one is read by pikepdf


def opened(library: pdfium.Library, path: str) -> pdfium.Document:
    """Open a document; refuses one that is encrypted, damaged or without pages."""
    try:
        document = library.open(path)
    except pdfium.PasswordNeeded as error:
        raise Refused("encrypted", "") from error
    except pdfium.PdfError as error:
        raise Refused("corrupt", "") from error
    if document.page_count < 1:
        raise Refused("corrupt", "The PDF has no pages")
    return document


def chosen(count: int, ranges: list[list[int]], *, most: int, option: str = "pages") -> list[int]:
    """Return the page numbers, ascending and without repeats; all pages for no ranges. Refuses more than `most`."""
    ranges = ranges or [[1, count]]
    last = max(end for _, end in ranges)
    if last > count:
        pages = "1 page" if count == 1 else f"{count} pages"
        raise Refused("options", f"{option}: page {last} was requested, but the document has {pages}")
    numbers = sorted({page for start, end in ranges for page in range(start, end + 1)})
    if len(numbers) > most:
        raise Refused("too_large", f"{len(numbers):,} pages were requested; at most {most:,} are allowed at once")
    return numbers


def size_of(document: pdfium.Document, page: int, *, unit: float = 1) -> tuple[float, float]:
    """Return width and height of a page in inches, as displayed; refuses a page without a size.

    pdfium ignores the unit of a page, which is the size of a point in 1/72 inch.
    """
    try:
        inches = document.size(page - 1)
    except pdfium.PdfError as error:
        raise Refused("corrupt", f"The PDF is damaged: {error}") from error
    if min(inches) <= 0:
        raise Refused("corrupt", f"The PDF is damaged: page {page} has no size")
    return inches[0] * unit, inches[1] * unit


def is_unusual(document: pdfium.Document, path: str, pages: list[int]) -> bool:
    """Return whether `page_boxes` has to look at a document: a page has no size, or may have a unit of its own."""
    try:
        has_sizes = all(min(document.size(page - 1)) > 0 for page in pages)
    except pdfium.PdfError:
        has_sizes = False
    return not has_sizes or _may_have_units(path)


def _may_have_units(path: str) -> bool:
    """Look for units in the bytes, because importing pikepdf takes longer than rendering a simple page."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:  # noqa: PTH123
        if content.find(_UNIT) >= 0 or content.find(b"/Encrypt") >= 0:
            return True
        return any(_has_unit(content, found.end()) for found in _OBJECT_STREAM.finditer(content))


def _has_unit(content: mmap.mmap, start: int) -> bool:
    """Return whether the object stream that starts here has a unit, or cannot be unpacked as usual."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(content[start : start + _OBJECT_STREAM_BYTES], _OBJECT_STREAM_BYTES)
    except zlib.error:
        return True
    return _UNIT in unpacked or not unpacker.eof


def library_at(request: dict[str, Any]) -> pdfium.Library:
    """Load the pdfium library that the request names."""
    try:
        return pdfium.Library(request["pdfium"])
    except OSError as error:
        raise Refused("missing", "pdfium is not installed on this worker") from error


class PageProgress:
    """Reports finished pages as percent of a total."""

    def __init__(self, total: int) -> None:
        """`total` is the number of requested pages."""
        self._total, self._done = total, 0

    def add(self, pages: int = 1) -> None:
        """Report that further pages are finished."""
        self._done += pages
        report_progress(100 * self._done / self._total, f"page {self._done} of {self._total}")
