"""PDF to plain text, with poppler."""

from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadSource
from converto_engines.converter import Job, Product
from converto_engines.page_ranges import PageRanges
from converto_engines.pdf.poppler import PopplerConverter, pages_text


class TextOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of the text of a PDF."""

    pages: Annotated[PageRanges | None, Meta(description="Which pages, such as 1-3,5; default: all")] = None
    layout: Annotated[
        bool, Meta(description="Keep the positions of columns and tables with spaces; default: reading order")
    ] = False


class PdfText(PopplerConverter):
    """Converter of PDF to text; see `Converter` for its attributes. Each page ends with a form feed."""

    module = "pdf.sandboxed.text"
    name = "pdf-text"
    targets: tuple[str, ...] = ("txt",)
    options: type[msgspec.Struct] = TextOptions
    loss = 0.8
    seconds = 0.5
    is_paged = False
    losses: tuple[Loss, ...] = (Loss(text="everything but the text; text in pictures is not recognised"),)

    async def convert(self, job: Job) -> list[Product]:
        """Extract the text of the chosen pages as UTF-8; raises `BadSource` (`source_empty`) when there is none."""
        product = job.folder / "text.txt"
        result = await self._run(job, product, layout=job.options.layout)
        if not result["characters"]:
            subject = "These pages contain" if job.options.pages else "The PDF contains"
            raise BadSource(
                f"{subject} no text. Text in pictures and drawings cannot be recognised here",
                code="source_empty",
            )
        if job.options.layout and (pages := result["second_reader"]):
            job.note(f"The positions of columns could not be kept on {pages_text(pages)}")
        return [Product(path=product)]
