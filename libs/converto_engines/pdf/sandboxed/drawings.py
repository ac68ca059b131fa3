"""Turns pages of a PDF into SVG drawings with poppler and checks each. Runs inside the sandbox, once per PDF.

Started as `drawings.py REQUEST_JSON`; it speaks as `protocol.py` says, and answers with the document's count of pages.
"""

from typing import Any
from xml.etree import ElementTree

from converto_engines.pdf.sandboxed import page_choice, poppler
from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_argument

_SVG = "{http://www.w3.org/2000/svg}svg"
_POINTS_PER_INCH = 72
_TOLERANCE_POINTS = 1.5
_ALIVE = {"script", "foreignObject", "iframe", "handler", "set", "animate"}
_Size = tuple[float, float]


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Look at the PDF with pdfium, draw the chosen pages with poppler, compare the two."""
    if request.get("ask") == "able":
        page_choice.library_at(request)
        return {"version": poppler.version_of("pdftocairo")}
    document = page_choice.opened(page_choice.library_at(request), request["source"])
    chosen = page_choice.chosen(document.page_count, request["ranges"], most=request["pages"])
    sizes = {page: page_choice.size_of(document, page) for page in chosen}
    written = 0

    def count(_page: int) -> None:
        nonlocal written
        written += 1
        report_progress(100 * written / len(chosen), f"page {written} of {len(chosen)}")

    def draw(page: int) -> None:
        path = request["output"] % page
        only = ("-f", str(page), "-l", str(page))
        poppler.run("pdftocairo", "-svg", *only, request["source"], path)
        _verify(path, page, sizes[page])

    process_pool.run(chosen, lambda: draw, min(process_pool.cpu_count(), len(chosen)), count)
    return {"count": document.page_count}


def _verify(path: str, page: int, inches: _Size) -> None:
    try:
        size = _checked(path, page)
    except (OSError, ElementTree.ParseError, ValueError, KeyError) as error:
        raise Refused("output", f"The drawing of page {page} cannot be read") from error
    expected = [side * _POINTS_PER_INCH for side in inches]
    if any(abs(made - wanted) > _TOLERANCE_POINTS for made, wanted in zip(size, expected, strict=True)):
        raise Refused("output", f"The drawing of page {page} has another size than the page")


def _checked(path: str, page: int) -> _Size:
    """Width and height in points of a drawing that refers to nothing but itself."""
    root: ElementTree.Element | None = None
    # What is read was written by poppler, without any entity, and this process is confined.
    for event, element in ElementTree.iterparse(path, events=("start", "end")):  # noqa: S314
        if root is None:
            root = element
        if event == "end":
            _check(element, page)
            if element is not root:
                element.clear()  # a drawing may be larger than memory
    if root is None or root.tag != _SVG:
        raise ValueError("no drawing")
    return float(root.attrib["width"].removesuffix("pt")), float(root.attrib["height"].removesuffix("pt"))


def _check(element: ElementTree.Element, page: int) -> None:
    name = element.tag.rpartition("}")[2]
    for key, value in element.attrib.items():
        attribute = key.rpartition("}")[2].lower()
        refers = attribute in {"href", "src"} and not value.startswith(("#", "data:image/png;", "data:image/jpeg;"))
        loads = "url(" in value.replace("url(#", "").replace('url("#', "")
        if refers or loads or attribute.startswith("on"):
            raise Refused("output", f"The drawing of page {page} refers to something outside of it")
    if name in _ALIVE:
        raise Refused("output", f"The drawing of page {page} holds a script")


def main() -> None:
    """Serve the one request."""
    serve_argument(convert)
