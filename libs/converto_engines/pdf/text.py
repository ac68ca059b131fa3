"""PDF to plain text: poppler reads it, in inside/page_texts.py, which runs in the sandbox."""

from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadSource, EngineMissing
from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import Job, Product
from converto_engines.pdf.pages import pdfium_library
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram


class TextOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for the text of a PDF."""

    pages: Annotated[
        Annotated[str, Meta(pattern=page_ranges.PATTERN, max_length=page_ranges.MAX_LENGTH)] | None,
        Meta(description="Which pages, such as 1-3,5; default: all"),
    ] = None
    layout: Annotated[
        bool,
        Meta(description="Keep columns and tables where they stand, by spaces; default: the order in which one reads"),
    ] = False


class PdfText:
    """Converter of PDF to text; see `Converter` for what its attributes mean. Each page ends with a form feed."""

    name = "pdf-text"
    engine = "poppler"
    family = Family.PDF
    sources: tuple[str, ...] = ("pdf",)
    targets: tuple[str, ...] = ("txt",)
    options: type[msgspec.Struct] = TextOptions
    loss = 0.8
    seconds = 0.5
    is_paged = False
    losses: tuple[Loss, ...] = (Loss(text="everything but the text; text within pictures is not recognised"),)

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each document's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "pdf.sandboxed.text", packages=("pypdfium2_raw",))

    async def version(self) -> str | None:
        """Version of poppler; None when it or pdfium, which counts the pages, is missing."""
        library = pdfium_library()
        able = await self._program.probe(pdfium=str(library)) if library is not None else None
        return None if able is None else str(able["version"])

    async def convert(self, job: Job) -> list[Product]:
        """The text of the chosen pages as UTF-8; raises `BadSource` with the code `source_empty` when there is none."""
        library = pdfium_library()
        if library is None:
            raise EngineMissing("pdfium is not installed on this worker")
        job.report(0, "opening the PDF")
        product = job.folder / "text.txt"
        request = {
            "pdfium": str(library),
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, product),
            "ranges": page_ranges.ends_of(job.options.pages),
            "layout": job.options.layout,
            "pages": job.limits.pages,
        }
        told = await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        if not told["characters"]:
            which = "These pages hold" if job.options.pages else "The PDF holds"
            raise BadSource(
                f"{which} no text, only pictures or drawings. Text within pictures cannot be recognised here",
                code="source_empty",
            )
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""
