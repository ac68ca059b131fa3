"""EPUB books to one HTML page with everything in it, by inside/book.py; PDF and text follow from the page."""

import importlib.metadata

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import SourceTooLarge
from converto_core.formats import Family
from converto_engines.converter import Job, NoOptions, Product
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram
from converto_engines.texts.web_page import LARGEST_PAGE_BYTES


class Book:
    """Converter of EPUB to HTML; see `Converter` for what its attributes mean."""

    name = "book"
    engine = "lxml"
    family = Family.OFFICE
    sources: tuple[str, ...] = ("epub",)
    targets: tuple[str, ...] = ("html",)
    options: type[msgspec.Struct] = NoOptions
    loss = 0.1
    seconds = 1.0
    is_paged = False
    losses: tuple[Loss, ...] = (
        Loss(text="the book's own typefaces and styles; drawings inside the text; sound and film"),
    )

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each book's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "texts.sandboxed.book", packages=("lxml", "nh3"))

    async def version(self) -> str | None:
        """Version of lxml, None when it or nh3 is missing."""
        return importlib.metadata.version("lxml") if self._program.is_installed else None

    async def convert(self, job: Job) -> list[Product]:
        """All chapters in reading order, pictures inside, the contents as bookmarks of a later PDF."""
        if job.source.stat().st_size > LARGEST_PAGE_BYTES:
            raise SourceTooLarge(f"The book is larger than {LARGEST_PAGE_BYTES // 1024**2} MB")
        job.report(0, "opening the book")
        product = job.folder / "book.html"
        request = {
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, product),
            "entries": job.limits.entries,
            "unpacked_bytes": job.limits.unpacked_bytes,
            "page_bytes": LARGEST_PAGE_BYTES,
        }
        await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""
