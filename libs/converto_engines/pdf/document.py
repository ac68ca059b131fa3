"""PDF to PDF with qpdf: choose, rotate, split, join, compress and clean pages."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import OutputInvalid
from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import Job, Product
from converto_engines.page_ranges import PageRanges
from converto_engines.pdf import pdfium
from converto_engines.pdf.unlocking import Unlocking
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_PACKAGES = ("pikepdf", "PIL")
_PICTURES = {"screen": {"dpi": 120, "quality": 68}, "print": {"dpi": 300, "quality": 85}}
"""Resolution and JPEG quality of pictures; 120 dpi suits a screen even when a page is enlarged a little."""


class DocumentOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options for the pages of a PDF; without any the PDF is rewritten, which repairs minor damage."""

    pages: Annotated[
        PageRanges | None,
        Meta(description="Which pages to keep, such as 1-3,5; joined files are numbered consecutively. Default: all"),
    ] = None
    rotate: Annotated[
        Literal[90, 180, 270] | None, Meta(description="Degrees clockwise, added to the current rotation")
    ] = None
    rotate_pages: Annotated[
        PageRanges | None, Meta(description="Which pages to rotate, by their numbers in the source; default: all")
    ] = None
    split: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description="Pages per file: 1 makes one file per page. Default: one file for all pages"),
    ] = None
    compress: Annotated[
        Literal["none", "lossless", "screen", "print"],
        Meta(
            description="lossless: same content, packed tighter; screen and print: also reduce pictures to 120 or 300"
            " dpi and store them as JPEG where that is smaller"
        ),
    ] = "none"
    linearize: Annotated[bool, Meta(description="Fast web view: the first page shows before the file is complete")] = (
        False
    )
    strip: Annotated[bool, Meta(description="Remove metadata such as author, title, dates and program names")] = False
    sanitize: Annotated[
        bool, Meta(description="Remove scripts, actions that start programs or send forms, and embedded files")
    ] = False


class PdfDocument:
    """Converter of PDF to PDF; see `Converter` for its attributes.

    It is paged because a split makes several products; its result is never the input of a further step.
    """

    name = "pdf-document"
    engine = "qpdf"
    family = Family.PDF
    sources: tuple[str, ...] = ("pdf",)
    password_sources: tuple[str, ...] = ("pdf",)
    targets: tuple[str, ...] = ("pdf",)
    options: type[msgspec.Struct] = DocumentOptions
    loss = 0.05
    seconds = 1.0
    is_paged = True
    joins = True
    losses: tuple[Loss, ...] = (
        Loss(text="digital signatures become invalid, and restrictions set by the owner are removed"),
        Loss(text="attachments and the structure for screen readers when pages are chosen, split or joined"),
        Loss(text="detail of pictures when compress is screen or print"),
    )

    def __init__(self, sandbox: Sandbox) -> None:
        """`sandbox` runs a new process for every document."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "pdf.sandboxed.document", packages=_PACKAGES)
        self._unlocking = Unlocking(sandbox)

    async def version(self) -> str | None:
        """Return the version of qpdf; None when the package pikepdf, pillow or pdfium is missing."""
        library = pdfium.find_library()
        if library is None or not self._program.is_installed:
            return None
        able = await self._program.probe(pdfium=str(library))
        return None if able is None else str(able["version"])

    async def convert(self, job: Job) -> list[Product]:
        """Make one PDF, or with `split` several, numbered by `page`; `job.more` is appended to the source."""
        options = job.options
        job = await self._unlocking.unlocked(job)
        job.report(0, "opening the PDF")
        result = await self._program.run(
            self._request(job, options), folder=job.folder, limits=job.limits, report=job.report
        )
        count = int(result["files"])
        if count < 1 or (options.split is None and count != 1):
            raise OutputInvalid(detail=f"made {count} files")
        if options.split is None:
            return [Product(path=_product(job, 1))]
        return [Product(path=_product(job, ordinal), page=ordinal) for ordinal in range(1, count + 1)]

    async def aclose(self) -> None:
        """Nothing to stop."""

    def _request(self, job: Job, options: DocumentOptions) -> dict[str, Any]:
        return {
            "pdfium": str(pdfium.require_library()),
            "sources": [self._sandbox.path_inside(job.folder, path) for path in (job.source, *job.more)],
            "output": self._sandbox.path_inside(job.folder, job.folder / "document-%d.pdf"),
            "ranges": page_ranges.ends_of(options.pages),
            "rotate": options.rotate or (90 if options.rotate_pages else 0),
            "rotate_ranges": page_ranges.ends_of(options.rotate_pages),
            "split": options.split,
            "is_packed": options.compress != "none",
            "pictures": _PICTURES.get(options.compress),
            "linearize": options.linearize,
            "strip": options.strip,
            "sanitize": options.sanitize,
            "pages": job.limits.pages,
            "pixels": job.limits.pixels,
        }


def _product(job: Job, ordinal: int) -> Path:
    return job.folder / f"document-{ordinal}.pdf"
