"""SubRip subtitles to WebVTT and back, by inside/subtitles.py: two converters, times exact to the millisecond."""

import platform

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import SourceTooLarge
from converto_core.formats import Family
from converto_engines.converter import Job, NoOptions, Product
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_LARGEST_BYTES = 64 * 1024**2


class _Subtitles:
    """What both directions share."""

    engine = "Python"
    family = Family.OFFICE
    options: type[msgspec.Struct] = NoOptions
    loss = 0.1
    seconds = 0.5
    is_paged = False

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each file's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "texts.sandboxed.subtitles")

    async def version(self) -> str | None:
        """Version of Python, which the reader and the writer are written in."""
        return platform.python_version()

    async def convert(self, job: Job) -> list[Product]:
        """Every subtitle with its times, in the order of the file, UTF-8."""
        if job.source.stat().st_size > _LARGEST_BYTES:
            raise SourceTooLarge(f"The file is larger than {_LARGEST_BYTES // 1024**2} MB, which no subtitles are")
        job.report(0, "reading the subtitles")
        product = job.folder / f"subtitles.{job.target_format}"
        request = {
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, product),
            "from": job.source_format,
            "to": job.target_format,
        }
        await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""


class SrtToVtt(_Subtitles):
    """Converter of SubRip to WebVTT; see `Converter` for what its attributes mean."""

    name = "srt-vtt"
    sources: tuple[str, ...] = ("srt",)
    targets: tuple[str, ...] = ("vtt",)
    losses: tuple[Loss, ...] = (Loss(text="colours, typefaces and places of subtitles; bold and italic stay"),)


class VttToSrt(_Subtitles):
    """Converter of WebVTT to SubRip; see `Converter` for what its attributes mean."""

    name = "vtt-srt"
    sources: tuple[str, ...] = ("vtt",)
    targets: tuple[str, ...] = ("srt",)
    losses: tuple[Loss, ...] = (
        Loss(text="styles, notes, places, names of subtitles and of who speaks; bold and italic stay"),
    )
