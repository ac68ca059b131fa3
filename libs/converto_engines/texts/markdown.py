"""Markdown to one HTML page by markdown-it in inside/markdown_page.py; PDF and text follow from the page."""

import importlib.metadata

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import SourceTooLarge
from converto_core.formats import Family
from converto_engines.converter import Job, NoOptions, Product
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_LARGEST_BYTES = 16 * 1024**2
_MODULES = ("markdown_it", "mdit_py_plugins", "mdurl", "linkify_it", "nh3", "lxml")


class Markdown:
    """Converter of Markdown to HTML; see `Converter` for what its attributes mean."""

    name = "markdown"
    engine = "markdown-it-py"
    family = Family.OFFICE
    sources: tuple[str, ...] = ("md",)
    targets: tuple[str, ...] = ("html",)
    options: type[msgspec.Struct] = NoOptions
    loss = 0.0
    seconds = 0.5
    is_paged = False
    losses: tuple[Loss, ...] = (Loss(text="scripts, styles, frames and forms in HTML inside the text"),)

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each text's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "texts.sandboxed.markdown_page", packages=_MODULES)

    async def version(self) -> str | None:
        """Version of markdown-it-py, None when it or another package is missing."""
        return importlib.metadata.version("markdown-it-py") if self._program.is_installed else None

    async def convert(self, job: Job) -> list[Product]:
        """One page with its style inside; pictures stay where the text says they are."""
        if job.source.stat().st_size > _LARGEST_BYTES:
            raise SourceTooLarge(f"The text is larger than {_LARGEST_BYTES // 1024**2} MB. Please split it")
        job.report(0, "reading the text")
        product = job.folder / "page.html"
        request = {
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, product),
        }
        await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""
