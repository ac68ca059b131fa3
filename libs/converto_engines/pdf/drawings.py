"""PDF to one SVG drawing per page: poppler draws, in inside/drawings.py, which runs in the sandbox."""

from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import EngineMissing
from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import Job, Product
from converto_engines.pdf.pages import pdfium_library
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram


class DrawingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for drawings of pages."""

    pages: Annotated[
        Annotated[str, Meta(pattern=page_ranges.PATTERN, max_length=page_ranges.MAX_LENGTH)] | None,
        Meta(description="Which pages, such as 1-3,5; default: all"),
    ] = None


class PdfDrawings:
    """Converter of PDF pages to drawings; see `Converter` for what its attributes mean."""

    name = "pdf-drawings"
    engine = "poppler"
    family = Family.PDF
    sources: tuple[str, ...] = ("pdf",)
    targets: tuple[str, ...] = ("svg",)
    options: type[msgspec.Struct] = DrawingOptions
    loss = 0.2
    seconds = 2.0
    is_paged = True
    losses: tuple[Loss, ...] = (
        Loss(text="text becomes outlines that cannot be searched; links, notes and form fields are drawings"),
    )

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each document's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "pdf.sandboxed.drawings", packages=("pypdfium2_raw",))

    async def version(self) -> str | None:
        """Version of poppler; None when it or pdfium, which counts and measures the pages, is missing."""
        library = pdfium_library()
        able = await self._program.probe(pdfium=str(library)) if library is not None else None
        return None if able is None else str(able["version"])

    async def convert(self, job: Job) -> list[Product]:
        """Draw the chosen pages in order, `page` being the number in the document."""
        library = pdfium_library()
        if library is None:
            raise EngineMissing("pdfium is not installed on this worker")
        job.report(0, "opening the PDF")
        request = {
            "pdfium": str(library),
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, job.folder / "page-%d.svg"),
            "ranges": page_ranges.ends_of(job.options.pages),
            "pages": job.limits.pages,
        }
        told = await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        pages = page_ranges.pages_of(job.options.pages) if job.options.pages else range(1, told["count"] + 1)
        return [Product(path=job.folder / f"page-{page}.svg", page=page) for page in pages]

    async def aclose(self) -> None:
        """Nothing is kept warm."""
