"""HTML to PDF with WeasyPrint: no script runs and nothing outside the file is loaded.

HTML never goes to LibreOffice, which fetches the resources a page names and whose HTML reader has had security holes.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_engines.converter import Job
from converto_engines.texts.text_converter import TextConverter

MAX_PAGE_BYTES = 256 * 1024**2
"""Including embedded pictures; the text alone is limited by the number of elements (`markup_limits.py`)."""
_PAPERS_MM = {"A3": (297, 420), "A4": (210, 297), "A5": (148, 210), "Letter": (215.9, 279.4), "Legal": (215.9, 355.6)}


class PaperOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of the paper; whatever is not set is left to the page's own print style."""

    paper: Annotated[
        Literal["A3", "A4", "A5", "Letter", "Legal"] | None,
        Meta(description="Paper size; default: the size the page asks for, else A4"),
    ] = None
    landscape: Annotated[bool, Meta(description="Turn the paper to landscape")] = False
    margin_mm: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="Margin on each side in millimetres; default: the margin the page asks for, else 20"),
    ] = None
    scale_percent: Annotated[
        Annotated[int, Meta(ge=25, le=200)],
        Meta(description="Scale of the content in percent; below 100, a page made for wide screens fits"),
    ] = 100


class WebPage(TextConverter):
    """Converter of HTML to PDF, with the page's headings as bookmarks."""

    name = "web-page"
    engine = "WeasyPrint"
    sources: tuple[str, ...] = ("html",)
    targets: tuple[str, ...] = ("pdf",)
    options: type[msgspec.Struct] = PaperOptions
    loss = 0.1
    seconds = 2.0
    losses: tuple[Loss, ...] = (
        Loss(text="scripts, and pictures, styles and fonts that are not inside the file; forms cannot be filled in"),
    )
    program = "web_page"
    packages = ("weasyprint", "lxml", "pypdfium2", "charset_normalizer", "webencodings")
    content = "page"
    max_source_bytes = MAX_PAGE_BYTES

    async def version(self) -> str | None:
        """Return WeasyPrint's version, or None when it or Pango is missing."""
        answer = await self._program.probe()
        return None if answer is None else str(answer["version"])

    def request_options(self, job: Job) -> dict[str, Any]:
        """Return the paper's style, the scale and the limits."""
        return {
            "style": paper_style(job.options),
            "zoom": job.options.scale_percent / 100,
            "pages": job.limits.pages,
            "pixels": job.limits.pixels,
        }


def paper_style(options: PaperOptions) -> str:
    """Return the paper as a CSS user stylesheet; only chosen values override the page's own `@page` rules.

    A scale below 100 is laid out on a larger sheet, which is shrunk as a whole when the PDF is written.
    """
    factor = 100 / options.scale_percent
    is_size_chosen = options.paper is not None or options.landscape or factor != 1
    width, height = _PAPERS_MM[options.paper or "A4"]
    if options.landscape:
        width, height = height, width
    margin = 20 if options.margin_mm is None else options.margin_mm
    size = f"size: {width * factor:.2f}mm {height * factor:.2f}mm{_priority(is_chosen=is_size_chosen)}"
    edge = f"margin: {margin * factor:.2f}mm{_priority(is_chosen=options.margin_mm is not None)}"
    return f"@page {{ {size}; {edge} }} img, svg {{ max-width: 100% }} body {{ margin: 0 }}"


def _priority(*, is_chosen: bool) -> str:
    return " !important" if is_chosen else ""
