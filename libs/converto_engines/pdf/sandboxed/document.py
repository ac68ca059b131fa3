"""Creates PDFs from the pages of one or more PDFs; the result is the number of files.

qpdf (package pikepdf) writes and pdfium verifies, so that an error of one library is detected by the other.
"""

import sys
from typing import Any

from converto_engines.pdf.sandboxed import page_choice, pdfium
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_argument

_TOLERANCE_INCHES = 0.02
_PROBE_PIXELS = 96  # the longer side of the first page when it is rendered as a check
_Size = tuple[float, float]


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Resolve the pages, then write and verify each file."""
    sys.path[:0] = request["packages"]
    try:
        from converto_engines.pdf.sandboxed import rewriting  # noqa: PLC0415 -- needs sys.path from above
    except ImportError as error:
        raise Refused("missing", "qpdf or pillow is not installed on this worker") from error
    library = page_choice.library_at(request)
    if request.get("ask") == "able":
        return {"version": rewriting.version()}

    sources = rewriting.open_all(request["sources"], most_pages=request["pages"])
    count = sum(len(source.pages) for source in sources)
    chosen = page_choice.chosen(count, request["ranges"], most=request["pages"])
    rotated = _rotated(count, request)
    sizes = _source_sizes(library, request["sources"], [len(source.pages) for source in sources])
    mended = rewriting.mend(sources)
    sizes = [None if page in mended else size for page, size in enumerate(sizes, start=1)]
    request = {**request, "is_mended": bool(mended)}
    parts = _parts(chosen, request["split"])
    rewriting.change(sources, chosen, rotated, request)
    for ordinal, part in enumerate(parts, start=1):
        path = request["output"] % ordinal
        rewriting.write(sources, part, path, request)
        _verify(library, path, [_rotated_size(sizes[page - 1], page in rotated, request["rotate"]) for page in part])
        if request["linearize"]:
            rewriting.verify_linearized(path)
        report_progress(50 + 50 * ordinal / len(parts), f"file {ordinal} of {len(parts)}")
    return {"files": len(parts)}


def _rotated(count: int, request: dict[str, Any]) -> set[int]:
    if not request["rotate"]:
        return set()
    return set(page_choice.chosen(count, request["rotate_ranges"], most=request["pages"], option="rotate_pages"))


def _parts(chosen: list[int], pages_per_file: int | None) -> list[list[int]]:
    step = pages_per_file or len(chosen)
    return [chosen[start : start + step] for start in range(0, len(chosen), step)]


def _source_sizes(library: pdfium.Library, paths: list[str], counts: list[int]) -> list[_Size | None]:
    """Return the page sizes of the sources as pdfium reads them; None for a source that only qpdf can repair."""
    sizes: list[_Size | None] = []
    for path, count in zip(paths, counts, strict=True):
        try:
            document = library.open(path)
        except pdfium.PdfError:
            sizes += [None] * count
            continue
        if document.page_count != count:
            raise Refused("corrupt", "The PDF is damaged: its pages cannot be counted")
        sizes += [document.size(index) for index in range(count)]
    return sizes


def _rotated_size(size: _Size | None, is_rotated: bool, degrees: int) -> _Size | None:
    return size[::-1] if size is not None and is_rotated and degrees % 180 else size


def _verify(library: pdfium.Library, path: str, expected: list[_Size | None]) -> None:
    try:
        made = library.open(path)
        if made.page_count != len(expected):
            raise Refused("output", f"The result has {made.page_count} pages instead of {len(expected)}")
        for index, size in enumerate(expected):
            _compare(index, made.size(index), size)
        _draw(made)
    except pdfium.PdfError as error:
        raise Refused("output", f"The result cannot be read: {error}") from error


def _compare(index: int, size: _Size, expected: _Size | None) -> None:
    if min(size) <= 0 or (
        expected is not None and any(abs(a - b) > _TOLERANCE_INCHES for a, b in zip(size, expected, strict=True))
    ):
        raise Refused("output", f"Page {index + 1} of the result has the wrong size")


def _draw(made: pdfium.Document) -> None:
    size = made.size(0)
    scale = _PROBE_PIXELS / max(size)
    made.render(0, *(max(round(side * scale), 1) for side in size))


def main() -> None:
    """Serve one request."""
    serve_argument(convert)
