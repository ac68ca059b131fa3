"""Base of the converters that use poppler in the sandbox, with pdfium to count and measure the pages."""

from pathlib import Path
from typing import Any

from converto_core.formats import Family
from converto_engines import page_ranges
from converto_engines.converter import Job
from converto_engines.pdf import pdfium
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram


class PopplerConverter:
    """Runs the sandboxed program that `module` names, once per document."""

    module: str
    engine = "poppler"
    family = Family.PDF
    sources: tuple[str, ...] = ("pdf",)

    def __init__(self, sandbox: Sandbox) -> None:
        """`sandbox` runs a new process for every document."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, self.module, packages=("pypdfium2_raw",))

    async def version(self) -> str | None:
        """Return the version of poppler; None when poppler or pdfium is missing."""
        library = pdfium.find_library()
        able = await self._program.probe(pdfium=str(library)) if library is not None else None
        return None if able is None else str(able["version"])

    async def aclose(self) -> None:
        """Nothing to stop."""

    async def _run(self, job: Job, output: Path, **parameters: Any) -> dict[str, Any]:
        """Convert the chosen pages to `output` and return the result of the program."""
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
