"""Converts pages of a PDF to SVG drawings with poppler and checks each; the result is the document's page count."""

from typing import Any
from xml.etree import ElementTree

from converto_engines.pdf.sandboxed import page_choice, poppler
from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument

_SVG = "{http://www.w3.org/2000/svg}svg"
_POINTS_PER_INCH = 72
_TOLERANCE_POINTS = 1.5
_ACTIVE_ELEMENTS = {"script", "foreignObject", "iframe", "handler", "set", "animate"}
_Size = tuple[float, float]


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Measure the pages with pdfium, draw them with poppler, and compare the sizes."""
    if request.get("ask") == "able":
        page_choice.library_at(request)
        return {"version": poppler.version_of("pdftocairo")}
    document = page_choice.opened(page_choice.library_at(request), request["source"])
    chosen = page_choice.chosen(document.page_count, request["ranges"], most=request["pages"])
    sizes = {page: page_choice.size_of(document, page) for page in chosen}
    progress = page_choice.PageProgress(len(chosen))

    def draw(page: int) -> None:
        path = request["output"] % page
        only = ("-f", str(page), "-l", str(page))
        poppler.run("pdftocairo", "-svg", *only, request["source"], path)
        _verify(path, page, sizes[page])

    processes = min(process_pool.cpu_count(), len(chosen))
    process_pool.run(chosen, lambda: draw, processes, lambda _page: progress.add())
    return {"count": document.page_count}


def _verify(path: str, page: int, inches: _Size) -> None:
    try:
        size = _checked(path, page)
    except (OSError, ElementTree.ParseError, ValueError, KeyError) as error:
        raise Refused("output", f"The drawing of page {page} cannot be read") from error
    expected = [side * _POINTS_PER_INCH for side in inches]
    if any(abs(made - wanted) > _TOLERANCE_POINTS for made, wanted in zip(size, expected, strict=True)):
        raise Refused("output", f"The drawing of page {page} does not have the size of the page")


def _checked(path: str, page: int) -> _Size:
    """Return width and height in points of a drawing without external references."""
    root: ElementTree.Element | None = None
    # The file was written by poppler, contains no entities, and this process is confined.
    for event, element in ElementTree.iterparse(path, events=("start", "end")):  # noqa: S314
        if root is None:
            root = element
        if event == "end":
            _check(element, page)
            if element is not root:
                element.clear()  # a drawing may not fit into memory
    if root is None or root.tag != _SVG:
        raise ValueError("not an SVG drawing")
    return float(root.attrib["width"].removesuffix("pt")), float(root.attrib["height"].removesuffix("pt"))


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
