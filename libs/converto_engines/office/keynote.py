"""Keynote presentations to PDF: the preview that Keynote stored in the file, else LibreOffice.

Keynote renders its preview with its own fonts and layouts, so it is preferred wherever it shows every slide.
"""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import BadSource, CorruptSource, SourceTooLarge
from converto_core.formats import Family
from converto_engines.converter import Job, Limits, NoOptions, Product
from converto_engines.office.libreoffice import LibreOffice, OfficeOptions
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

KEYNOTE_ADVICE = (
    "This Keynote file cannot be converted here: it contains no complete preview, and only Keynote can read its slides."
    " On a Mac, open it in Keynote, choose File > Export To > PDF (or PowerPoint) and upload the exported file"
)
"""The error text for a Keynote file that neither way can read."""
_CHECK_LIMITS = Limits(wall_s=30, cpu_s=20)
_PAGES_LINE = re.compile(rb"^Pages:\s+(\d+)$", re.MULTILINE)


class Keynote:
    """Converter of Keynote presentations; see `Converter` for what its attributes mean."""

    name = "keynote"
    engine = "LibreOffice"
    family = Family.OFFICE
    sources: tuple[str, ...] = ("key",)
    targets: tuple[str, ...] = ("pdf",)
    options: type[msgspec.Struct] = NoOptions
    loss = 0.1
    seconds = 1.5
    is_paged = False
    losses: tuple[Loss, ...] = (
        Loss(text="animations, movies and editability"),
        Loss(text="pictures may be coarse: the preview that Keynote stored in the file is used where there is one"),
        Loss(text="without a preview only simple slides are converted and look different; export as PDF or PowerPoint"),
    )

    def __init__(self, sandbox: Sandbox, to_pdf: LibreOffice) -> None:
        """`to_pdf` converts files without a preview."""
        self._sandbox, self._to_pdf = sandbox, to_pdf
        self._program = SandboxedProgram(sandbox, "office.sandboxed.keynote_preview")

    async def version(self) -> str | None:
        """Return the version of LibreOffice, used where there is no preview; None when it or pdfinfo is missing."""
        return await self._to_pdf.version() if shutil.which("pdfinfo") else None

    async def convert(self, job: Job) -> list[Product]:
        """Make a PDF of one page per visible slide."""
        preview = job.folder / "preview.pdf"
        counts = await self._extract_preview(job, preview)
        if counts["has_preview"] and await self._is_complete(preview, counts, job):
            product = job.folder / "result.pdf"
            await asyncio.to_thread(shutil.move, preview, product)
            return [Product(path=product)]
        return await self._by_libreoffice(job)

    async def aclose(self) -> None:
        """Nothing to stop: the LibreOffice converter stops its program."""

    async def _extract_preview(self, job: Job, preview: Path) -> dict[str, Any]:
        job.report(None, "looking for a preview")
        request = {
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, preview),
            "entries": job.limits.entries,
            "unpacked_bytes": job.limits.unpacked_bytes,
        }
        return await self._program.run(request, folder=job.folder, limits=job.limits)

    async def _is_complete(self, preview: Path, counts: dict[str, Any], job: Job) -> bool:
        """Return whether the preview opens and shows every slide; newer files do not say which slides are skipped."""
        pages = await self._pages_in(preview, job.folder)
        if pages is not None and pages > job.limits.pages:
            raise SourceTooLarge(f"The presentation has {pages} pages; at most {job.limits.pages} are allowed")
        return pages is not None and pages in {counts["slides"], counts["shown"]} - {0}

    async def _pages_in(self, result: Path, folder: Path) -> int | None:
        """Count the pages of a PDF with pdfinfo; None when it does not open."""
        run = await self._sandbox.run(
            ["pdfinfo", self._sandbox.path_inside(folder, result)], folder=folder, limits=_CHECK_LIMITS
        )
        count = _PAGES_LINE.search(run.stdout)
        return int(count[1]) if run.exit_code == 0 and count else None

    async def _by_libreoffice(self, job: Job) -> list[Product]:
        try:
            return await self._to_pdf.convert(msgspec.structs.replace(job, options=OfficeOptions()))
        except CorruptSource as error:
            raise BadSource(KEYNOTE_ADVICE, code="source_unsupported", detail=error.detail) from error
