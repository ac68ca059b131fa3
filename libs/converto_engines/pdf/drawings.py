"""PDF to one SVG drawing per page, with poppler."""

from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_engines.converter import Job, Product
from converto_engines.page_ranges import PageRanges, pages_of
from converto_engines.pdf.poppler import PopplerConverter, pages_text


class DrawingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of page drawings."""

    pages: Annotated[PageRanges | None, Meta(description="Which pages, such as 1-3,5; default: all")] = None


class PdfDrawings(PopplerConverter):
    """Converter of PDF pages to drawings; see `Converter` for its attributes."""

    module = "pdf.sandboxed.drawings"
    name = "pdf-drawings"
    targets: tuple[str, ...] = ("svg",)
    options: type[msgspec.Struct] = DrawingOptions
    loss = 0.2
    seconds = 2.0
    is_paged = True
    losses: tuple[Loss, ...] = (
        Loss(text="text becomes outlines that cannot be searched; links, notes and form fields become drawings"),
    )

    async def convert(self, job: Job) -> list[Product]:
        """Draw the chosen pages in order; `page` is the number in the document."""
        result = await self._run(job, job.folder / "page-%d.svg")
        if result["pictures"]:
            shown = pages_text(result["pictures"])
            job.note(f"Drawn as a picture, because it cannot be drawn as shapes here: {shown}")
        pages = pages_of(job.options.pages) if job.options.pages else range(1, result["count"] + 1)
        return [Product(path=job.folder / f"page-{page}.svg", page=page) for page in pages]
