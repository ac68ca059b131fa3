"""Base of the converters that use poppler in the sandbox, with pdfium to count and measure the pages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import Job
from converto_engines.pdf import pdfium
from converto_engines.pdf.unlocking import Unlocking
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_SHOWN_PAGES = 10


class PopplerConverter:
    """Runs the sandboxed program that `module` names, once per document."""

    module: str
    engine = "poppler"
    family = Family.PDF
    sources: tuple[str, ...] = ("pdf",)
    password_sources: tuple[str, ...] = ("pdf",)

    def __init__(self, sandbox: Sandbox) -> None:
        """`sandbox` runs a new process for every document."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, self.module, packages=("pypdfium2_raw", "pikepdf", "PIL"))
        self._unlocking = Unlocking(sandbox)

    async def version(self) -> str | None:
        """Return the version of poppler; None when poppler or pdfium is missing."""
        library = pdfium.find_library()
        able = await self._program.probe(pdfium=str(library)) if library is not None else None
        return None if able is None else str(able["version"])

    async def aclose(self) -> None:
        """Nothing to stop."""

    async def _run(self, job: Job, output: Path, **parameters: Any) -> dict[str, Any]:
        """Convert the chosen pages to `output` and return the result of the program."""
        job = await self._unlocking.unlocked(job)
        request = {
            "pdfium": str(pdfium.require_library()),
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, output),
            "ranges": page_ranges.ends_of(job.options.pages),
            "pages": job.limits.pages,
            **parameters,
        }
        job.report(0, "opening the PDF")
        return await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)


def pages_text(pages: Sequence[int]) -> str:
    """Return page numbers for a note, such as "page 3" or "pages 1, 4 and 17 more"."""
    numbers = [int(page) for page in pages]
    if len(numbers) == 1:
        return f"page {numbers[0]}"
    shown = ", ".join(map(str, numbers[:_SHOWN_PAGES]))
    more = len(numbers) - _SHOWN_PAGES
    return f"pages {shown} and {more} more" if more > 0 else f"pages {shown}"
