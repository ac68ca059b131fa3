"""Office documents to PDF by one warm LibreOffice per slot, with the proof that the PDF has the pages it should have.

It knows no queue and no storage; `warm_office.py` keeps the program, the sandbox starts and ends it.
"""

import asyncio
import shutil
from typing import Annotated, Any, Literal

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, BadSource, CorruptSource, OutputInvalid, SourceTooLarge
from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import Job, Limits, Product
from converto_engines.office.open_document import OpenDocument, opened
from converto_engines.office.warm_office import WarmOffice

_PDF_A_2B = 2
_DECKS, _TABLES = ("pptx", "ppt", "odp", "key"), ("xlsx", "xls", "ods", "csv")


class OfficeOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the PDF is made."""

    pages: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=page_ranges.PATTERN,
                max_length=page_ranges.MAX_LENGTH,
                description="Only these pages, counted from 1, such as 1-3,5.",
            ),
        ]
        | None
    ) = None
    quality: Annotated[int, msgspec.Meta(ge=1, le=100, description="JPEG quality of pictures in the PDF.")] | None = (
        None
    )
    pdf_a: Annotated[bool, msgspec.Meta(description="Make PDF/A-2b, for archives.")] = False
    notes: Annotated[
        bool, msgspec.Meta(description="Presentations: after the slides, a page with the speaker's notes for each.")
    ] = False
    hidden_slides: Annotated[bool, msgspec.Meta(description="Presentations: show hidden slides too.")] = False
    sheet_pages: Annotated[
        Literal["as_set", "fit_width", "one_page"],
        msgspec.Meta(
            description="Workbooks: pages as set in the file; every sheet shrunk to the width of its pages, so that no"
            " column is cut off; or each sheet whole on one page of its size."
        ),
    ] = "as_set"


class LibreOffice:
    """Converts office documents to PDF; the first conversion starts LibreOffice, later ones find it warm."""

    name: str = "libreoffice"
    engine: str = "LibreOffice"
    family: Family = Family.OFFICE
    sources: tuple[str, ...] = (
        "docx", "doc", "odt", "rtf", "txt", "pptx", "ppt", "odp", "odg", "xlsx", "xls", "ods", "csv",
    )  # fmt: skip
    targets: tuple[str, ...] = ("pdf",)
    options: type[msgspec.Struct] = OfficeOptions
    loss: float = 0.1
    seconds: float = 1.0
    is_paged: bool = False
    losses: tuple[Loss, ...] = (
        Loss(text="formulas, animations and the means to edit"),
        Loss(text="typefaces that are not installed are replaced by ones of the same widths where there are such"),
    )

    def __init__(self, office: WarmOffice) -> None:
        """Take the LibreOffice that the converters of this slot share."""
        self._office = office

    async def version(self) -> str | None:
        """Version such as 7.4.7.2; None when LibreOffice, python3-uno or pdfium is missing."""
        return await self._office.version() if self._office.pdfium is not None else None

    async def convert(self, job: Job) -> list[Product]:
        """Make one PDF and prove that it opens with the pages it should have."""
        chosen = page_ranges.pages_of(job.options.pages) if job.options.pages else []
        product = job.folder / "result.pdf"
        async with opened(self._office, job) as (document, told):
            if job.source_format == "key":
                await _check_understood(document)
            shown = _shown(told, job.options)
            _check_choice(shown, chosen, job.limits)
            result = document.room / "result.pdf"
            is_fit = job.options.sheet_pages == "fit_width"
            is_table = job.source_format in _TABLES
            settings = _settings(job.options, shown, chosen)
            await document.save(result, target="pdf", settings=settings, fit_width=is_fit and is_table)
            _check_count(await document.pages_of(result), shown, chosen, job)
            await asyncio.to_thread(shutil.move, result, product)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """End LibreOffice; the other converters of the slot start it again if they go on."""
        await self._office.aclose()


async def _check_understood(document: OpenDocument) -> None:
    """The import of Keynote leaves out what it does not know, and opens a file of which it knows nothing too."""
    if (await document.count())["shapes"] == 0:
        raise CorruptSource(detail="nothing on the slides was understood")


def _shown(told: dict[str, Any], options: OfficeOptions) -> list[int] | None:
    """The numbers of the slides that the PDF shows; None where only the layout knows pages."""
    return list(range(1, told["slides"] + 1)) if told["slides"] and options.hidden_slides else told["visible"]


def _settings(options: OfficeOptions, shown: list[int] | None, chosen: list[int]) -> dict[str, Any]:
    """The options in LibreOffice's words, which counts hidden slides where users count the pages they see."""
    settings: dict[str, Any] = {"ExportHiddenSlides": options.hidden_slides, "ExportNotesPages": options.notes}
    if chosen:
        settings["PageRange"] = ",".join(str(shown[page - 1]) if shown else str(page) for page in chosen)
    if options.quality is not None:
        settings |= {"UseLosslessCompression": False, "Quality": options.quality}
    if options.pdf_a:
        settings["SelectPdfVersion"] = _PDF_A_2B
    if options.sheet_pages == "one_page":
        settings["SinglePageSheets"] = True
    return settings


def _check_choice(shown: list[int] | None, chosen: list[int], limits: Limits) -> None:
    """Refuse before the export what the document's model already tells."""
    if shown is None:
        return
    if not shown:
        raise BadSource("Every slide of this presentation is hidden, so there is nothing to show", code="source_empty")
    if chosen and chosen[-1] > len(shown):
        raise BadOptions(f"Page {chosen[-1]} was asked for, but this document has {len(shown)}")
    if not chosen and len(shown) > limits.pages:
        raise SourceTooLarge(f"The document has {len(shown)} pages; at most {limits.pages} are allowed")


def _check_count(pages: int, shown: list[int] | None, chosen: list[int], job: Job) -> None:
    """Compare what the PDF has with what the document has, or with what was asked for."""
    limit = job.limits.pages
    if pages > limit:
        raise SourceTooLarge(f"The document has {pages} pages; at most {limit} are allowed")
    if chosen and shown is None and pages < len(chosen):
        raise BadOptions("Some of the pages asked for are past the end of this document")
    expected = len(chosen) if chosen else shown and len(shown)
    if expected and job.options.notes and job.source_format in _DECKS:
        expected *= 2  # one page of notes for each slide
    if pages < 1 or (expected is not None and pages != expected):
        raise OutputInvalid(f"The PDF has {pages} pages where {expected or 'at least 1'} were expected")
