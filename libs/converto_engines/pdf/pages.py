"""PDF to one picture per page: pdfium renders, libvips encodes, in one sandboxed process per document.

The process for the next document is started ahead of need, because loading both libraries takes longer than a page.
"""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import ANSWER_WITHIN_S, Job, Limits, Product
from converto_engines.page_ranges import PageRanges
from converto_engines.pdf import pdfium
from converto_engines.pdf.unlocking import Unlocking
from converto_engines.runtime import responses
from converto_engines.runtime.link import link_or_copy
from converto_engines.runtime.prestarted import PrestartedProcess, PrestartedProgram
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_SAVE_OPTIONS = {
    # For rendered pages, level 3 produces the size of level 6 in a quarter of the time.
    "png": "compression=3",
    "jpg": "Q={quality},optimize_coding=true",
    "webp": "Q={quality},effort=4",
}
_PROBE_LIMITS = Limits(wall_s=ANSWER_WITHIN_S, cpu_s=20, memory_bytes=1024**3, file_bytes=16 * 1024**2)
_ENVIRONMENT = {"VIPS_BLOCK_UNTRUSTED": "1", "VIPS_CONCURRENCY": "1"}


class PageOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of page pictures."""

    dpi: Annotated[
        Annotated[int, Meta(ge=36, le=600)],
        Meta(description="Dots per inch; 150 suits a screen"),
    ] = 150
    width: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description="Pixels, the same for every page; overrides dpi"),
    ] = None
    pages: Annotated[
        PageRanges | None,
        Meta(description="Which pages, such as 1-3,5; default: all"),
    ] = None
    quality: Annotated[Annotated[int, Meta(ge=1, le=100)], Meta(description="For JPEG and WebP")] = 82


class PdfPages:
    """Converter of PDF pages; see `Converter` for its attributes."""

    name = "pdf-pages"
    engine = "pdfium"
    family = Family.PDF
    sources: tuple[str, ...] = ("pdf",)
    password_sources: tuple[str, ...] = ("pdf",)
    targets: tuple[str, ...] = tuple(_SAVE_OPTIONS)
    options: type[msgspec.Struct] = PageOptions
    loss = 0.3
    seconds = 2.0
    is_paged = True
    losses: tuple[Loss, ...] = (Loss(text="text becomes pixels; links are lost"),)

    def __init__(self, sandbox: Sandbox, *, scratch: Path | None = None) -> None:
        """`sandbox` runs a new process for every document; `scratch` as in `PrestartedProgram`."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(
            sandbox, "pdf.sandboxed.pages", packages=("pypdfium2_raw", "pikepdf", "PIL"), environment=_ENVIRONMENT
        )
        self._prestarted = PrestartedProgram(self._program.start, scratch=scratch)
        self._unlocking = Unlocking(sandbox)

    async def version(self) -> str | None:
        """Return the build number of pdfium; None when pdfium or libvips is missing."""
        library = pdfium.find_library()
        if library is None or await self._program.probe_over_stdin(_PROBE_LIMITS) is None:
            return None
        return pdfium.version_of(library)

    async def convert(self, job: Job) -> list[Product]:
        """Render the chosen pages in order; `page` is the number in the document."""
        options = job.options
        ranges = page_ranges.ends_of(options.pages)
        job = await self._unlocking.unlocked(job)
        job.report(0, "opening the PDF")
        async with self._prestarted.acquire(job.limits) as process:
            count = await self._render(job, process, ranges)
            pages = page_ranges.pages_of(options.pages) if options.pages else range(1, count + 1)
            await asyncio.to_thread(_move_results, process.folder, job, pages)
        return [Product(path=_output(job.folder, job, page), page=page) for page in pages]

    async def aclose(self) -> None:
        """Stop the process that waits for the next document."""
        await self._prestarted.aclose()

    async def _render(self, job: Job, process: PrestartedProcess, ranges: list[list[int]]) -> int:
        """Render into the folder of the process; returns the page count of the document."""
        source = process.folder / "source.pdf"
        await asyncio.to_thread(link_or_copy, job.source, source)
        request = _request(job, ranges)
        request |= {
            "source": self._sandbox.path_inside(process.folder, source),
            "output": self._sandbox.path_inside(process.folder, process.folder / f"page-%d.{job.target_format}"),
        }
        response = await process.child.request(request, timeout_s=job.limits.wall_s, report=job.report)
        return int(responses.result_of(response, process.child.stderr_tail)["count"])


def _request(job: Job, ranges: list[list[int]]) -> dict[str, Any]:
    options = job.options
    return {
        "save": _SAVE_OPTIONS[job.target_format].format(quality=options.quality),
        "ranges": ranges,
        "dpi": options.dpi,
        "width": options.width,
        "pages": job.limits.pages,
        "pixels": job.limits.pixels,
    }


def _output(folder: Path, job: Job, page: int) -> Path:
    return folder / f"page-{page}.{job.target_format}"


def _move_results(folder: Path, job: Job, pages: Sequence[int]) -> None:
    for page in pages:
        shutil.move(_output(folder, job, page), _output(job.folder, job, page))
