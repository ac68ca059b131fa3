"""Office documents to PDF by one warm LibreOffice per slot, with the proof that the PDF has the pages it should have.

It knows no queue and no storage; `warm_office.py` keeps the program, the sandbox starts and ends it.
"""

import asyncio
import os
import re
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, BadSource, CorruptSource, EngineTimeout, OutputInvalid, SourceTooLarge
from converto_core.formats import BY_NAME, Family
from converto_engines import page_ranges
from converto_engines.converter import Job, Limits, Product
from converto_engines.process import Sandbox
from converto_engines.warm_office import WarmOffice

_RESTART_DOCUMENTS = 50  # measured: memory grows from 229 to 760 MB over 141 documents
_CHECK_LIMITS = Limits(wall_s=30, cpu_s=20)
_PDF_A_2B = 2
_PAGES_LINE = re.compile(rb"^Pages:\s+(\d+)$", re.MULTILINE)


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

    def __init__(
        self, sandbox: Sandbox, *, work_dir: Path | None = None, restart_documents: int = _RESTART_DOCUMENTS
    ) -> None:
        """`work_dir` holds the profile and the slot's folder; default is the system's temporary folder."""
        self._sandbox = sandbox
        self._office = WarmOffice(sandbox, work_dir, restart_documents)

    @property
    def pid(self) -> int | None:
        """Process group of the warm LibreOffice; None while there is none."""
        return self._office.pid

    async def version(self) -> str | None:
        """Version such as 7.4.7.2; None when LibreOffice, python3-uno or poppler's pdfinfo is missing."""
        return await self._office.version() if shutil.which("pdfinfo") else None

    async def convert(self, job: Job) -> list[Product]:
        """Make one PDF and prove that it opens with the pages it should have."""
        chosen = page_ranges.pages_of(job.options.pages) if job.options.pages else []
        room = await self._office.room()
        try:
            return [await self._convert_in(room, job, chosen)]
        finally:
            await self._office.rest()
            await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)

    async def aclose(self) -> None:
        """End LibreOffice and remove its folder."""
        await self._office.aclose()

    async def _convert_in(self, room: Path, job: Job, chosen: list[int]) -> Product:
        if self.pid is None:
            job.report(None, "starting LibreOffice")
        await self._office.make_ready(job.limits)
        result = room / "result.pdf"
        visible = await self._write_pdf(room, result, job, chosen)
        _check_count(await self._pages_in(result, room), visible, chosen, job.limits)
        product = job.folder / "result.pdf"
        await asyncio.to_thread(shutil.move, result, product)
        return Product(path=product)

    async def _write_pdf(self, room: Path, result: Path, job: Job, chosen: list[int]) -> list[int] | None:
        """Open and export; the numbers of the visible pages where the document's model knows them."""
        ends_at = time.monotonic() + job.limits.wall_s
        source = room / f"source.{job.source_format}"
        await asyncio.to_thread(_link_or_copy, job.source, source)
        job.report(None, "opening")
        document = {"path": self._office.inside(source), "source_format": job.source_format}
        visible: list[int] | None = (await self._ask(job, ends_at, "open", document))["visible"]
        _check_choice(visible, chosen, job.limits)
        job.report(None, "exporting")
        settings = _settings(job.options, visible, chosen)
        await self._ask(job, ends_at, "export", {"path": self._office.inside(result), "settings": settings})
        return visible

    async def _ask(self, job: Job, ends_at: float, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        remaining_s = max(0.0, ends_at - time.monotonic())
        try:
            return await self._office.ask(command, timeout_s=remaining_s, limits=job.limits, **arguments)
        except EngineTimeout as error:
            # Not the rest of the time that this one command had, but the whole of it, is what a user knows.
            raise EngineTimeout(
                f"The conversion took longer than the {job.limits.wall_s:g} s allowed for one file", detail=command
            ) from error
        except CorruptSource as error:
            raise CorruptSource(
                f"The file cannot be read as {BY_NAME[job.source_format].title}: it is damaged, incomplete or something"
                " else. Please check that it opens on your computer and upload it again",
                detail=error.detail,
            ) from error

    async def _pages_in(self, result: Path, room: Path) -> int:
        """Pages of the PDF as another program counts them; raises `OutputInvalid` when it does not open."""
        told = await self._sandbox.run(
            ["pdfinfo", self._sandbox.inside(room, result)], folder=room, limits=_CHECK_LIMITS
        )
        count = _PAGES_LINE.search(told.stdout)
        if told.exit_code != 0 or count is None:
            raise OutputInvalid("LibreOffice wrote a PDF that does not open", detail=told.stderr_tail)
        return int(count[1])


def _settings(options: OfficeOptions, visible: list[int] | None, chosen: list[int]) -> dict[str, Any]:
    """The options in LibreOffice's words, which counts hidden slides where users count the pages they see."""
    settings: dict[str, Any] = {}
    if chosen:
        settings["PageRange"] = ",".join(str(visible[page - 1]) if visible else str(page) for page in chosen)
    if options.quality is not None:
        settings |= {"UseLosslessCompression": False, "Quality": options.quality}
    if options.pdf_a:
        settings["SelectPdfVersion"] = _PDF_A_2B
    return settings


def _check_choice(visible: list[int] | None, chosen: list[int], limits: Limits) -> None:
    """Refuse before the export what the document's model already tells."""
    if visible is None:
        return
    if not visible:
        raise BadSource("Every slide of this presentation is hidden, so there is nothing to show", code="source_empty")
    if chosen and chosen[-1] > len(visible):
        raise BadOptions(f"Page {chosen[-1]} was asked for, but this document has {len(visible)}")
    if not chosen and len(visible) > limits.pages:
        raise SourceTooLarge(f"The document has {len(visible)} pages; at most {limits.pages} are allowed")


def _check_count(pages: int, visible: list[int] | None, chosen: list[int], limits: Limits) -> None:
    """Compare what the PDF has with what the document has, or with what was asked for."""
    if pages > limits.pages:
        raise SourceTooLarge(f"The document has {pages} pages; at most {limits.pages} are allowed")
    if chosen and visible is None and pages < len(chosen):
        raise BadOptions("Some of the pages asked for are past the end of this document")
    expected = len(chosen) if chosen else visible and len(visible)
    if pages < 1 or (expected is not None and pages != expected):
        raise OutputInvalid(f"The PDF has {pages} pages where {expected or 'at least 1'} were expected")


def _link_or_copy(source: Path, target: Path) -> None:
    """Show LibreOffice the source in its own folder; a hard link costs nothing, another disk needs a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
