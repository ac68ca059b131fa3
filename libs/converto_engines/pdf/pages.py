"""PDF to one picture per page: pdfium renders, libvips encodes, both in inside/pages.py, one process per document.

The process of the next document is started ahead of need, because loading both libraries takes longer than a page.
"""

import asyncio
import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import EngineError
from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import Job, Limits, Product
from converto_engines.runtime import responses
from converto_engines.runtime.link import link_or_copy
from converto_engines.runtime.prestarted import PrestartedProcess, PrestartedProgram
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_SAVE_OPTIONS = {
    # Level 3 makes files of the size of level 6 in a quarter of the time on rendered pages.
    "png": "compression=3",
    "jpg": "Q={quality},optimize_coding=true",
    "webp": "Q={quality},effort=4",
}
_ASK_LIMITS = Limits(wall_s=30, cpu_s=20, memory_bytes=1024**3, file_bytes=16 * 1024**2)
_ENVIRONMENT = {"VIPS_BLOCK_UNTRUSTED": "1", "VIPS_CONCURRENCY": "1"}


class PageOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for page pictures."""

    dpi: Annotated[
        Annotated[int, Meta(ge=36, le=600)],
        Meta(description="Dots per inch; 150 suits a screen"),
    ] = 150
    width: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description="Pixels, the same for every page; takes the place of dpi"),
    ] = None
    pages: Annotated[
        Annotated[str, Meta(pattern=page_ranges.PATTERN, max_length=page_ranges.MAX_LENGTH)] | None,
        Meta(description="Which pages, such as 1-3,5; default: all"),
    ] = None
    quality: Annotated[Annotated[int, Meta(ge=1, le=100)], Meta(description="For JPEG and WebP")] = 82


class PdfPages:
    """Converter of PDF pages; see `Converter` for what its attributes mean."""

    name = "pdf-pages"
    engine = "pdfium"
    family = Family.PDF
    sources: tuple[str, ...] = ("pdf",)
    targets: tuple[str, ...] = tuple(_SAVE_OPTIONS)
    options: type[msgspec.Struct] = PageOptions
    loss = 0.3
    seconds = 2.0
    is_paged = True
    losses: tuple[Loss, ...] = (Loss(text="text becomes pixels; links are lost"),)

    def __init__(self, sandbox: Sandbox, *, scratch: Path | None = None) -> None:
        """Take the sandbox that each document's process runs in; `scratch` as in `PrestartedProgram`."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(
            sandbox, "pdf.sandboxed.pages", packages=("pypdfium2_raw",), environment=_ENVIRONMENT
        )
        self._standby = PrestartedProgram(self._program.start, scratch=scratch)

    async def version(self) -> str | None:
        """Build number of pdfium, None when pdfium or libvips is missing."""
        library = pdfium_library()
        if library is None or await self._program.probe_over_stdin(_ASK_LIMITS) is None:
            return None
        return _pdfium_version(library)

    async def convert(self, job: Job) -> list[Product]:
        """Render the chosen pages in order, `page` being the number in the document."""
        options = job.options
        ranges = page_ranges.ends_of(options.pages)
        job.report(0, "opening the PDF")
        async with self._standby.acquire(job.limits) as ready:
            count = await self._drawn(job, ready, ranges)
            pages = page_ranges.pages_of(options.pages) if options.pages else range(1, count + 1)
            await asyncio.to_thread(_bring_home, ready.folder, job, pages)
        return [Product(path=_output(job.folder, job, page), page=page) for page in pages]

    async def aclose(self) -> None:
        """End the process that waits for the next document."""
        await self._standby.aclose()

    async def _drawn(self, job: Job, ready: PrestartedProcess, ranges: list[list[int]]) -> int:
        """Draw all pages into the folder of the process; how many the document has."""
        source = ready.folder / "source.pdf"
        await asyncio.to_thread(link_or_copy, job.source, source)
        request = _request(job, ranges)
        request |= {
            "source": self._sandbox.path_inside(ready.folder, source),
            "output": self._sandbox.path_inside(ready.folder, ready.folder / f"page-%d.{job.target_format}"),
        }
        answer = await ready.child.request(request, timeout_s=job.limits.wall_s, report=job.report)
        return int(responses.result_of(answer, ready.child.stderr_tail)["count"])


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


def _bring_home(folder: Path, job: Job, pages: Sequence[int]) -> None:
    for page in pages:
        shutil.move(_output(folder, job, page), _output(job.folder, job, page))


def pdfium_library() -> Path | None:
    """The shared library that the package pypdfium2 brings."""
    found = importlib.util.find_spec("pypdfium2_raw")
    folder = Path(found.origin).parent if found is not None and found.origin else None
    library = folder / "libpdfium.so" if folder else None
    return library if library is not None and library.is_file() else None


def _pdfium_version(library: Path) -> str:
    try:
        told = json.loads((library.parent / "version.json").read_text())
        return ".".join(str(told[part]) for part in ("major", "minor", "build", "patch"))
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(detail=f"version of pdfium: {error!r}") from error
