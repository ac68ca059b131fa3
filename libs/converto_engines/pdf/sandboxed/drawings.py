"""Converts pages of a PDF to SVG drawings with poppler and checks each; the result is the document's page count."""

import functools
import os
import re
import shutil
import sys
from typing import Any
from xml.etree import ElementTree

from converto_engines.pdf.sandboxed import page_choice, pdfium, picture_drawing, poppler
from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument

_SVG = "{http://www.w3.org/2000/svg}svg"
_POINTS_PER_INCH = 72
_TOLERANCE_POINTS = 1.5
_ACTIVE_ELEMENTS = {"script", "foreignObject", "iframe", "handler", "set", "animate"}
_VISIBLE = {"path", "use", "image", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text"}
_DEFINITIONS = {"defs", "clipPath", "mask", "symbol", "pattern"}
_SIDES = re.compile(rb'(<svg[^>]*? width=")([\d.]+)(pt" height=")([\d.]+)')
_HEAD_BYTES = 4096  # the root element is at the start
_PICTURE_MARK = ".is-picture"  # ends the name of an empty file beside a page that was drawn as a picture
_Size = tuple[float, float]


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Measure the pages with pdfium, draw them with poppler, and compare the sizes."""
    library = page_choice.library_at(request)
    if request.get("ask") == "able":
        return {"version": poppler.version_of("pdftocairo")}
    sys.path[:0] = request["packages"]
    from converto_engines.pdf.sandboxed import page_boxes  # noqa: PLC0415 -- needs sys.path from above

    document = page_choice.opened(library, request["source"])
    chosen = page_choice.chosen(document.page_count, request["ranges"], most=request["pages"])
    path, units = page_boxes.prepared(request["source"], chosen)
    if path != request["source"]:
        document = page_choice.opened(library, path)
    sizes = {page: page_choice.size_of(document, page) for page in chosen}
    progress = page_choice.PageProgress(len(chosen))
    processes = min(process_pool.cpu_count(), len(chosen))
    drawer = functools.partial(_Drawer, library, path, request["output"], sizes=sizes, units=units)
    process_pool.run(chosen, lambda: drawer().draw, processes, lambda _page: progress.add())
    return {"count": document.page_count, "pictures": _taken_marks(request["output"], chosen)}


class _Drawer:
    """Draws pages in one process; the second reader opens the document when it is needed."""

    def __init__(
        self, library: pdfium.Library, source: str, output: str, *, sizes: dict[int, _Size], units: dict[int, float]
    ) -> None:
        self._library, self._source, self._output, self._sizes, self._units = library, source, output, sizes, units
        self._document: pdfium.Document | None = None

    def draw(self, page: int) -> None:
        """Draw one page; as a picture when poppler leaves out text or shows nothing of a page that has marks."""
        path = self._output % page
        only = ("-f", str(page), "-l", str(page))
        is_incomplete = poppler.run("pdftocairo", "-svg", *only, self._source, path)
        is_blank = not _verify(path, page, self._sizes[page])
        if (is_incomplete or is_blank) and self._has_marks(page):
            picture_drawing.write(self._opened(), page, path)
            with open(path + _PICTURE_MARK, "w"):  # noqa: PTH123 -- pathlib is slow to import
                pass
        if page in self._units:
            _scale(path, self._units[page])

    def _has_marks(self, page: int) -> bool:
        try:
            return self._opened().has_marks(page - 1)
        except pdfium.PdfError:
            return False

    def _opened(self) -> pdfium.Document:
        if self._document is None:
            self._document = page_choice.opened(self._library, self._source)
        return self._document


def _taken_marks(output: str, pages: list[int]) -> list[int]:
    """Remove the marks of pages that were drawn as pictures and return their numbers."""
    found = [page for page in pages if os.path.exists(output % page + _PICTURE_MARK)]  # noqa: PTH110
    for page in found:
        os.unlink(output % page + _PICTURE_MARK)  # noqa: PTH108
    return found


def _scale(path: str, unit: float) -> None:
    """Multiply width and height of a drawing; its content follows by the `viewBox`."""

    def scaled(found: re.Match[bytes]) -> bytes:
        width, height = (float(found[group]) * unit for group in (2, 4))
        return found[1] + f"{width:g}".encode() + found[3] + f"{height:g}".encode()

    copy = f"{path}.scaled"
    with open(path, "rb") as file, open(copy, "wb") as made:  # noqa: PTH123
        made.write(_SIDES.sub(scaled, file.read(_HEAD_BYTES), count=1))
        shutil.copyfileobj(file, made)
    os.replace(copy, path)  # noqa: PTH105


def _verify(path: str, page: int, inches: _Size) -> bool:
    """Refuse a drawing that cannot be read or has another size than the page; return whether it shows anything."""
    try:
        size, shows_anything = _checked(path, page)
    except (OSError, ElementTree.ParseError, ValueError, KeyError) as error:
        raise Refused("output", f"The drawing of page {page} cannot be read") from error
    expected = [side * _POINTS_PER_INCH for side in inches]
    if any(abs(made - wanted) > _TOLERANCE_POINTS for made, wanted in zip(size, expected, strict=True)):
        raise Refused("output", f"The drawing of page {page} does not have the size of the page")
    return shows_anything


def _checked(path: str, page: int) -> tuple[_Size, bool]:
    """Return width and height in points of a drawing without external references, and whether it shows anything."""
    root: ElementTree.Element | None = None
    hidden, shows_anything = 0, False
    # The file was written by poppler, contains no entities, and this process is confined.
    for event, element in ElementTree.iterparse(path, events=("start", "end")):  # noqa: S314
        if root is None:
            root = element
        name = element.tag.rpartition("}")[2]
        if name in _DEFINITIONS:
            hidden += 1 if event == "start" else -1
        shows_anything = shows_anything or (hidden == 0 and name in _VISIBLE)
        if event == "end":
            _check(element, page)
            if element is not root:
                element.clear()  # a drawing may not fit into memory
    if root is None or root.tag != _SVG:
        raise ValueError("not an SVG drawing")
    size = float(root.attrib["width"].removesuffix("pt")), float(root.attrib["height"].removesuffix("pt"))
    return size, shows_anything


def _check(element: ElementTree.Element, page: int) -> None:
    name = element.tag.rpartition("}")[2]
    for key, value in element.attrib.items():
        attribute = key.rpartition("}")[2].lower()
        refers = attribute in {"href", "src"} and not value.startswith(("#", "data:image/png;", "data:image/jpeg;"))
        loads = "url(" in value.replace("url(#", "").replace('url("#', "")
        if refers or loads or attribute.startswith("on"):
            raise Refused("output", f"The drawing of page {page} contains an external reference")
    if name in _ACTIVE_ELEMENTS:
        raise Refused("output", f"The drawing of page {page} contains a script")


def main() -> None:
    """Serve one request."""
    serve_argument(convert)
