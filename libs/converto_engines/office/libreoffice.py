"""Office documents to PDF with the warm LibreOffice of the slot; the page count of the PDF is verified."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import (
    BadOptions,
    BadSource,
    CorruptSource,
    EngineCrashed,
    OutputInvalid,
    SourceTooLarge,
)
from converto_core.formats import Family
from converto_engines.converter import Job, Limits, Product
from converto_engines.office.open_document import COMMENTED, PASSWORD_SOURCES, OpenDocument, opened
from converto_engines.office.single_run import can_run_alone, exported_alone
from converto_engines.office.warm_office import WarmOffice
from converto_engines.page_ranges import PageRanges, pages_of

_PDF_A_2B = 2
_DECKS, _TABLES = ("pptx", "ppt", "odp", "key"), ("xlsx", "xls", "ods", "csv")
_SHOWN_CHARACTERS = 10
_CHANGES_NOTES = {
    "shown": "The document has tracked changes, which the PDF shows with marks; the option changes accepts or rejects"
    " them",
    "accepted": "The tracked changes were accepted, so deleted text is left out",
    "rejected": "The tracked changes were rejected, so inserted text is left out",
}


class OfficeOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of the PDF export."""

    pages: (
        Annotated[PageRanges, msgspec.Meta(description="Only these pages, counted from 1, such as 1-3,5.")] | None
    ) = None
    quality: Annotated[int, msgspec.Meta(ge=1, le=100, description="JPEG quality of pictures in the PDF.")] | None = (
        None
    )
    pdf_a: Annotated[bool, msgspec.Meta(description="Make PDF/A-2b, for archives.")] = False
    notes: Annotated[
        bool, msgspec.Meta(description="Presentations: append a page with the speaker notes of each slide.")
    ] = False
    hidden_slides: Annotated[bool, msgspec.Meta(description="Presentations: include hidden slides.")] = False
    changes: Annotated[
        Literal["shown", "accepted", "rejected"],
        msgspec.Meta(
            description="Text documents with tracked changes. shown: inserted and deleted text with marks, as"
            " LibreOffice prints them; accepted: the text with all changes; rejected: the text as it was before them."
        ),
    ] = "shown"
    comments: Annotated[
        Literal["annotations", "none"],
        msgspec.Meta(description="Comments. annotations: keep them as notes of the PDF; none: leave them out."),
    ] = "annotations"
    sheet_pages: Annotated[
        Literal["as_set", "fit_width", "one_page"],
        msgspec.Meta(
            description="Workbooks. as_set: page setup of the file; fit_width: every sheet scaled to the page width, so"
            " that no column is cut off; one_page: each sheet on a single page of its own size."
        ),
    ] = "as_set"


class LibreOffice:
    """Converter of office documents to PDF; the first conversion starts LibreOffice, which later ones reuse."""

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
    titled_sources: tuple[str, ...] = ("csv",)
    password_sources: tuple[str, ...] = PASSWORD_SOURCES
    losses: tuple[Loss, ...] = (
        Loss(text="formulas, animations and editability"),
        Loss(text="fonts that are not installed are replaced, by fonts of the same widths where possible"),
    )

    def __init__(self, office: WarmOffice) -> None:
        """`office` is shared by the converters of this slot."""
        self._office = office

    async def version(self) -> str | None:
        """Return a version such as 7.4.7.2; None when LibreOffice, python3-uno or pdfium is missing."""
        return await self._office.version() if self._office.pdfium is not None else None

    async def convert(self, job: Job) -> list[Product]:
        """Make one PDF and check that it opens with the expected number of pages."""
        ends_at = time.monotonic() + job.limits.wall_s
        try:
            return await self._convert(job, ends_at)
        except EngineCrashed:
            # Some documents crash a LibreOffice that is controlled over UNO, but not one that converts only them.
            if _can_run_alone(job):
                return await self._convert_alone(job, ends_at)
            if job.source_format not in COMMENTED:
                raise
            return await self._convert(job, ends_at, without_comments=True)

    async def _convert(self, job: Job, ends_at: float, *, without_comments: bool = False) -> list[Product]:
        chosen = pages_of(job.options.pages) if job.options.pages else []
        is_editing = job.options.changes != "shown"
        async with opened(
            self._office, job, editable=is_editing, without_comments=without_comments, ends_at=ends_at
        ) as (document, counts):
            if job.source_format == "key":
                await _check_imported(document)
            visible = _visible(counts, job.options)
            _check_choice(visible, chosen, job.limits)
            note = await _settle_changes(document, job)
            result = document.folder / "result.pdf"
            is_fit = job.options.sheet_pages == "fit_width" and job.source_format in _TABLES
            settings = _settings(job.options, visible, chosen)
            await document.save(result, target="pdf", settings=settings, fit_width=is_fit)
            if counts["comments"] and job.options.comments != "none":
                job.note("Left out: comments, because this document could not be converted with them")
            return await self._finish(document, result, (visible, chosen), note, job)

    async def _convert_alone(self, job: Job, ends_at: float) -> list[Product]:
        """Convert with a LibreOffice for this document alone; the driver, started again, looks at document and PDF."""
        chosen = pages_of(job.options.pages) if job.options.pages else []
        settings = _settings(job.options, None, chosen)
        is_text = job.source_format in COMMENTED
        async with (
            exported_alone(self._office, job, settings, ends_at=ends_at) as result,
            opened(self._office, job, without_comments=is_text, ends_at=ends_at) as (document, _),
        ):
            note = await _settle_changes(document, job)
            return await self._finish(document, result, (None, chosen), note, job)

    async def _finish(
        self,
        document: OpenDocument,
        result: Path,
        pages: tuple[list[int] | None, list[int]],
        note: str | None,
        job: Job,
    ) -> list[Product]:
        """Complete and check a PDF, tell what it lacks, and move it out of the folder that LibreOffice sees."""
        blank = await self._office.colour_fonts.draw(result, job.limits)
        _check_count(await document.pages_of(result), *pages, job)
        missing = [*blank, *await document.missing_characters(result)]
        if note:
            job.note(note)
        if missing:
            job.note(f"No installed font has these characters, so the PDF does not show them: {_shown(missing)}")
        product = job.folder / "result.pdf"
        await asyncio.to_thread(shutil.move, result, product)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Stop LibreOffice; the other converters of the slot restart it when they need it."""
        await self._office.aclose()


def _can_run_alone(job: Job) -> bool:
    """Return whether a single run can do what is asked: it edits nothing and cannot leave out hidden slides.

    It would take a password as an argument, which other users of the machine see.
    """
    options = job.options
    is_plain = options.changes == "shown" and options.sheet_pages != "fit_width" and job.password is None
    return is_plain and can_run_alone(job.source_format) and not (options.pages and job.source_format in _DECKS)


async def _settle_changes(document: OpenDocument, job: Job) -> str | None:
    """Show, accept or reject the tracked changes of a text document; returns a note when it has any."""
    if job.source_format not in COMMENTED or not (await document.review(job.options.changes))["changes"]:
        return None
    return _CHANGES_NOTES[job.options.changes]


def _shown(characters: list[str]) -> str:
    codes = [" ".join(f"U+{ord(code):04X}" for code in character) for character in characters[:_SHOWN_CHARACTERS]]
    names = [f"{character} ({code})" for character, code in zip(characters, codes, strict=False)]
    more = len(characters) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


async def _check_imported(document: OpenDocument) -> None:
    """Raise when nothing was imported: the Keynote filter skips what it does not support, even a whole file."""
    if (await document.count())["shapes"] == 0:
        raise CorruptSource(detail="no shape was imported")


def _visible(counts: dict[str, Any], options: OfficeOptions) -> list[int] | None:
    """The numbers of the slides in the PDF; None for documents whose pages are known only after the layout."""
    return list(range(1, counts["slides"] + 1)) if counts["slides"] and options.hidden_slides else counts["visible"]


def _settings(options: OfficeOptions, visible: list[int] | None, chosen: list[int]) -> dict[str, Any]:
    """The export settings of LibreOffice, which counts hidden slides, whereas users count the pages they see."""
    settings: dict[str, Any] = {"ExportHiddenSlides": options.hidden_slides, "ExportNotesPages": options.notes}
    settings["ExportNotes"] = options.comments == "annotations"
    if chosen:
        settings["PageRange"] = ",".join(str(visible[page - 1]) if visible else str(page) for page in chosen)
    if options.quality is not None:
        settings |= {"UseLosslessCompression": False, "Quality": options.quality}
    if options.pdf_a:
        settings["SelectPdfVersion"] = _PDF_A_2B
    if options.sheet_pages == "one_page":
        settings["SinglePageSheets"] = True
    return settings


def _check_choice(visible: list[int] | None, chosen: list[int], limits: Limits) -> None:
    """Raise before the export for a page choice or page count that is already known to be invalid."""
    if visible is None:
        return
    if not visible:
        raise BadSource(
            "All slides of this presentation are hidden, so the PDF would be empty. Set hidden_slides to include them",
            code="source_empty",
        )
    if chosen and chosen[-1] > len(visible):
        raise BadOptions(f"Page {chosen[-1]} was requested, but the document has {len(visible)} pages")
    if not chosen and len(visible) > limits.pages:
        raise SourceTooLarge(f"The document has {len(visible)} pages; at most {limits.pages} are allowed")


def _check_count(pages: int, visible: list[int] | None, chosen: list[int], job: Job) -> None:
    """Compare the page count of the PDF with that of the document or of the page choice."""
    limit = job.limits.pages
    if pages > limit:
        raise SourceTooLarge(f"The document has {pages} pages; at most {limit} are allowed")
    if chosen and visible is None and pages < len(chosen):
        raise BadOptions("Some of the requested pages are beyond the end of this document")
    expected = len(chosen) if chosen else visible and len(visible)
    if expected and job.options.notes and job.source_format in _DECKS:
        expected *= 2  # one page of notes for each slide
    if pages < 1 or (expected is not None and pages != expected):
        raise OutputInvalid(f"The PDF has {pages} pages instead of {expected or 'at least 1'}")
