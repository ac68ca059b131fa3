"""Base of the text converters: one sandboxed program per job reads the source and writes one product."""

import importlib.metadata
import platform
from typing import Any, ClassVar

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import SourceTooLarge
from converto_core.formats import Family
from converto_engines.converter import Job, NoOptions, Product
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram


class TextConverter:
    """Converter with one program; see `Converter` for the attributes that are not described here."""

    family = Family.OFFICE
    options: type[msgspec.Struct] = NoOptions
    seconds = 0.5
    is_paged = False
    losses: tuple[Loss, ...] = ()

    program: ClassVar[str]
    """Module in `texts/sandboxed/`."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Python packages that the program imports."""
    distribution: ClassVar[str | None] = None
    """Installed distribution whose version is the engine's; None for the standard library."""
    content: ClassVar[str]
    """What a source is called in stages and errors, such as "page"; also the name of the product."""
    max_source_bytes: ClassVar[int]

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that runs each job's process."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, f"texts.sandboxed.{self.program}", packages=self.packages)

    async def version(self) -> str | None:
        """Return the engine's version, or None when one of the packages is missing."""
        if not self._program.is_installed:
            return None
        return importlib.metadata.version(self.distribution) if self.distribution else platform.python_version()

    async def convert(self, job: Job) -> list[Product]:
        """Convert one file; the program verifies its own product. Raises `SourceTooLarge` before reading it.

        The program's answer may hold `notes`.
        """
        if job.source.stat().st_size > self.max_source_bytes:
            limit_mb = self.max_source_bytes // 1024**2
            raise SourceTooLarge(f"The file is larger than {limit_mb} MB. Split it and convert the parts")
        job.report(0, f"reading the {self.content}")
        product = job.folder / f"{self.content}.{job.target_format}"
        request = {
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, product),
            **self.request_options(job),
        }
        answer = await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        for text in answer.get("notes", ()):
            job.note(str(text))
        return [Product(path=product)]

    def request_options(self, _job: Job) -> dict[str, Any]:
        """Return what the program has to know besides source and output."""
        return {}

    async def aclose(self) -> None:
        """Do nothing: no process outlives its job."""
