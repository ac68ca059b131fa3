"""HTML pages to PDF by WeasyPrint in inside/web_page.py: no script runs, nothing outside of the file is loaded.

HTML never goes to LibreOffice, which fetches what a page names and has had holes in its reader.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import SourceTooLarge
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

LARGEST_PAGE_BYTES = 256 * 1024**2
"""Pictures inside included; what is text in it is bounded by the count of elements."""
_PAPERS_MM = {"A3": (297, 420), "A4": (210, 297), "A5": (148, 210), "Letter": (215.9, 279.4), "Legal": (215.9, 355.6)}


class PaperOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for the paper; what is not chosen is left to the page's own print style."""

    paper: Annotated[
        Literal["A3", "A4", "A5", "Letter", "Legal"] | None,
        Meta(description="Size of the sheets; default: what the page asks for, else A4"),
    ] = None
    landscape: Annotated[bool, Meta(description="Sheets lie on their long side")] = False
    margin_mm: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="Millimetres left free on each side; default: what the page asks for, else 20"),
    ] = None
    scale_percent: Annotated[
        Annotated[int, Meta(ge=25, le=200)],
        Meta(description="Below 100 everything gets smaller, so that a page made for wide screens fits"),
    ] = 100


class WebPage:
    """Converter of HTML to PDF; see `Converter` for what its attributes mean."""

    name = "web-page"
    engine = "WeasyPrint"
    family = Family.OFFICE
    sources: tuple[str, ...] = ("html",)
    targets: tuple[str, ...] = ("pdf",)
    options: type[msgspec.Struct] = PaperOptions
    loss = 0.1
    seconds = 2.0
    is_paged = False
    losses: tuple[Loss, ...] = (
        Loss(text="scripts, and pictures, styles and fonts that are not inside the file; forms cannot be filled in"),
    )

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each page's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(
            sandbox, "texts.sandboxed.web_page", packages=("weasyprint", "lxml", "pypdfium2")
        )

    async def version(self) -> str | None:
        """Version of WeasyPrint, None when it or Pango is missing."""
        told = await self._program.probe()
        return None if told is None else str(told["version"])

    async def convert(self, job: Job) -> list[Product]:
        """The page on sheets of paper, with its headings as bookmarks."""
        if job.source.stat().st_size > LARGEST_PAGE_BYTES:
            raise SourceTooLarge(f"The page is larger than {LARGEST_PAGE_BYTES // 1024**2} MB. Please split it")
        job.report(0, "reading the page")
        product = job.folder / "page.pdf"
        request: dict[str, Any] = {
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, product),
            "style": paper_style(job.options),
            "zoom": job.options.scale_percent / 100,
            "pages": job.limits.pages,
            "pixels": job.limits.pixels,
        }
        await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""


def paper_style(options: PaperOptions) -> str:
    """The paper as CSS of the user: below the page's own wish by default, above it where something was chosen.

    A scale is a larger sheet in the layout, shrunk as a whole when it is written.
    """
    factor = 100 / options.scale_percent
    is_size_chosen = options.paper is not None or options.landscape or factor != 1
    width, height = _PAPERS_MM[options.paper or "A4"]
    if options.landscape:
        width, height = height, width
    margin = 20 if options.margin_mm is None else options.margin_mm
    size = f"size: {width * factor:.2f}mm {height * factor:.2f}mm{_rank(is_chosen=is_size_chosen)}"
    edge = f"margin: {margin * factor:.2f}mm{_rank(is_chosen=options.margin_mm is not None)}"
    return f"@page {{ {size}; {edge} }} img, svg {{ max-width: 100% }} body {{ margin: 0 }}"


def _rank(*, is_chosen: bool) -> str:
    return " !important" if is_chosen else ""
