"""Pictures to PDF, one page each: libvips reads and encodes, pikepdf writes, pdfium verifies."""

from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.pdf import pdfium
from converto_engines.pictures.pictures import ENVIRONMENT, Pictures, tell
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_PACKAGES = ("pikepdf", "PIL", "pypdfium2_raw")


class PicturePageOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of a picture on a page."""

    quality: Annotated[Annotated[int, Meta(ge=1, le=100)], Meta(description="Quality of the JPEG in the PDF")] = 90
    width: Annotated[
        Annotated[int, Meta(ge=1, le=16_384)] | None,
        Meta(description="Maximum width in pixels; the height keeps the proportions"),
    ] = None
    page: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Page or frame to convert; default: all pages, of an animation the first frame"),
    ] = None


class PicturePage:
    """Converter of pictures to PDF; see `Converter` for what its attributes mean."""

    name = "picture-page"
    engine = "libvips"  # it determines the look of the page; `version` is its version
    family = Family.IMAGE
    targets: tuple[str, ...] = ("pdf",)
    options: type[msgspec.Struct] = PicturePageOptions
    loss = 0.1
    seconds = 1.0
    is_paged = False
    losses: tuple[Loss, ...] = (
        Loss(text="transparency; fine detail of all but black-and-white pictures, by as much as the quality says"),
        Loss(text="movement: one frame is kept", sources=("gif", "webp", "avif")),
        Loss(text="movement of an animated PNG: one frame is kept", sources=("png",)),
    )

    def __init__(self, sandbox: Sandbox, pictures: Pictures) -> None:
        """`pictures` knows which formats libvips reads; its owner closes it."""
        self._sandbox = sandbox
        self._pictures = pictures
        self._program = SandboxedProgram(
            sandbox, "pictures.sandboxed.pdf_page", packages=_PACKAGES, environment=ENVIRONMENT
        )
        self.sources: tuple[str, ...] = pictures.sources

    async def version(self) -> str | None:
        """Return libvips' version, or None when it, pikepdf or pdfium is missing; learn which formats libvips reads."""
        version = await self._pictures.version() if self._program.is_installed else None
        self.sources = self._pictures.sources
        return version

    async def convert(self, job: Job) -> list[Product]:
        """Put each page, upright, on a page of its own; of an animation the first frame."""
        product = job.folder / "pages.pdf"
        job.report(0, "reading the picture")
        request = {
            "pdfium": str(pdfium.require_library()),
            "source": self._sandbox.path_inside(job.folder, job.source),
            "source_format": job.source_format,
            "output": self._sandbox.path_inside(job.folder, product),
            "options": msgspec.to_builtins(job.options),
            "pixels": job.limits.pixels,
            "frames": job.limits.pages,
        }
        tell(job, await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report))
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Do nothing: every document gets a new process."""
