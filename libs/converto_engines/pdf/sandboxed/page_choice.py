"""Opens a PDF with pdfium and says which pages are meant: the first look that all PDF programs take. Runs sandboxed.

It imports the standard library only.
"""

from typing import Any

from converto_engines.pdf.sandboxed import pdfium
from converto_engines.runtime.sandboxed.protocol import Refused


def opened(library: pdfium.Library, path: str) -> pdfium.Document:
    """An open document of at least one page; refuses all others."""
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
    """The pages, counted from 1, ascending and each once; all of them for no ranges. `most` are allowed."""
    ranges = ranges or [[1, count]]
    last = max(end for _, end in ranges)
    if last > count:
        pages = "1 page" if count == 1 else f"{count} pages"
        raise Refused("options", f"{option}: page {last} was asked for, but the document has {pages}")
    numbers = sorted({page for start, end in ranges for page in range(start, end + 1)})
    if len(numbers) > most:
        raise Refused("too_large", f"{len(numbers):,} pages are too many; {most:,} are allowed at once")
    return numbers


def size_of(document: pdfium.Document, page: int) -> tuple[float, float]:
    """Width and height of a page in inches, as shown; refuses a page that has none."""
    try:
        inches = document.size(page - 1)
    except pdfium.PdfError as error:
        raise Refused("corrupt", f"The PDF is damaged: {error}") from error
    if min(inches) <= 0:
        raise Refused("corrupt", f"The PDF is damaged: page {page} has no size")
    return inches


def library_at(request: dict[str, Any]) -> pdfium.Library:
    """The pdfium that the request names."""
    try:
        return pdfium.Library(request["pdfium"])
    except OSError as error:
        raise Refused("missing", "pdfium is not installed on this worker") from error
