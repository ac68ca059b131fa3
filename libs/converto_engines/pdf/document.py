"""PDF to PDF: choose, turn, split, join, compress, clean pages. qpdf does it in inside/pdf_document.py, sandboxed."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import EngineMissing, OutputInvalid
from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import Job, Product
from converto_engines.pdf.pages import pdfium_library
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_MODULES = ("pikepdf", "PIL")
_Range = Annotated[str, Meta(pattern=page_ranges.PATTERN, max_length=page_ranges.MAX_LENGTH)]
_PICTURES = {"screen": {"dpi": 120, "quality": 68}, "print": {"dpi": 300, "quality": 85}}
"""How fine pictures stay and how well their JPEG is; 120 dots suit a screen even when a page is enlarged a little."""


class DocumentOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can do with the pages of a PDF; without any option it is written anew, which mends small damage."""

    pages: Annotated[
        _Range | None,
        Meta(description="Which pages to keep, such as 1-3,5; joined files are counted through. Default: all"),
    ] = None
    rotate: Annotated[
        Literal[90, 180, 270] | None, Meta(description="Degrees clockwise, added to how the pages lie now")
    ] = None
    rotate_pages: Annotated[
        _Range | None, Meta(description="Which pages to turn, by their numbers in the source; default: all")
    ] = None
    split: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description="Pages per file: 1 gives every page a file of its own. Default: one file for all"),
    ] = None
    compress: Annotated[
        Literal["none", "lossless", "screen", "print"],
        Meta(
            description="lossless: same content packed tighter; screen and print: besides, pictures are kept at 120 or"
            " 300 dots per inch and as JPEG, where that makes them smaller"
        ),
    ] = "none"
    linearize: Annotated[bool, Meta(description="Fast web view: the first page shows before all has arrived")] = False
    strip: Annotated[bool, Meta(description="Remove metadata such as author, title, times and programs")] = False
    sanitize: Annotated[
        bool, Meta(description="Remove scripts, actions that start programs or send forms, and embedded files")
    ] = False


class PdfDocument:
    """Converter of PDF to PDF; see `Converter` for what its attributes mean.

    It is paged because a split gives several products; a PDF made by it never was a step on the way elsewhere anyway.
    """

    name = "pdf-document"
    engine = "qpdf"
    family = Family.PDF
    sources: tuple[str, ...] = ("pdf",)
    targets: tuple[str, ...] = ("pdf",)
    options: type[msgspec.Struct] = DocumentOptions
    loss = 0.05
    seconds = 1.0
    is_paged = True
    joins = True
    losses: tuple[Loss, ...] = (
        Loss(text="digital signatures are no longer valid, and restrictions set by the owner are gone"),
        Loss(text="attachments and the structure for screen readers, when pages are chosen, split or joined"),
        Loss(text="detail of pictures, when compress is screen or print"),
    )

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each document's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "pdf.sandboxed.document", packages=_MODULES)

    async def version(self) -> str | None:
        """Version of qpdf; None when the package pikepdf, pillow or pdfium is missing."""
        library = pdfium_library()
        if library is None or not self._program.is_installed:
            return None
        able = await self._program.probe(pdfium=str(library))
        return None if able is None else str(able["version"])

    async def convert(self, job: Job) -> list[Product]:
        """One PDF, or with `split` several in order, `page` being their ordinal; `job.more` is joined to the end."""
        options = job.options
        job.report(0, "opening the PDF")
        made = await self._program.run(
            self._request(job, options), folder=job.folder, limits=job.limits, report=job.report
        )
        count = int(made["files"])
        if count < 1 or (options.split is None and count != 1):
            raise OutputInvalid(detail=f"made {count} files")
        if options.split is None:
            return [Product(path=_product(job, 1))]
        return [Product(path=_product(job, ordinal), page=ordinal) for ordinal in range(1, count + 1)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""

    def _request(self, job: Job, options: DocumentOptions) -> dict[str, Any]:
        library = pdfium_library()
        if library is None:
            raise EngineMissing("pdfium is not installed on this worker")
        return {
            "pdfium": str(library),
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
