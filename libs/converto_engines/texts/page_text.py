"""HTML pages to plain text by inscriptis in inside/page_text.py: lists stay lists, tables stay in columns."""

import importlib.metadata
from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import SourceTooLarge
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram
from converto_engines.texts.web_page import LARGEST_PAGE_BYTES


class TextOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for the text."""

    links: Annotated[bool, Meta(description="Write the address behind each link")] = False


class PageText:
    """Converter of HTML to text; see `Converter` for what its attributes mean."""

    name = "page-text"
    engine = "inscriptis"
    family = Family.OFFICE
    sources: tuple[str, ...] = ("html",)
    targets: tuple[str, ...] = ("txt",)
    options: type[msgspec.Struct] = TextOptions
    loss = 0.5
    seconds = 0.5
    is_paged = False
    losses: tuple[Loss, ...] = (Loss(text="everything but the text: pictures, typefaces, colours; links unless asked"),)

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each page's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "texts.sandboxed.page_text", packages=("inscriptis", "lxml"))

    async def version(self) -> str | None:
        """Version of inscriptis, None when it is missing."""
        return importlib.metadata.version("inscriptis") if self._program.is_installed else None

    async def convert(self, job: Job) -> list[Product]:
        """The text of the page, UTF-8."""
        if job.source.stat().st_size > LARGEST_PAGE_BYTES:
            raise SourceTooLarge(f"The page is larger than {LARGEST_PAGE_BYTES // 1024**2} MB. Please split it")
        job.report(0, "reading the page")
        product = job.folder / "page.txt"
        request = {
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, product),
            "links": job.options.links,
        }
        await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""
