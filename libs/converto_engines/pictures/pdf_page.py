"""Pictures to a one-page PDF: libvips rotates, flattens and encodes, pdfium makes the page."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.pictures.pictures import PictureOptions, Pictures
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_SCREEN_DPI = 96  # one CSS pixel; a picture of 1,920 × 1,080 becomes a page of 20 × 11.25 inches


class PicturePageOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of a picture on a page."""

    quality: Annotated[Annotated[int, Meta(ge=1, le=100)], Meta(description="Quality of the JPEG in the PDF")] = 90
    width: Annotated[
        Annotated[int, Meta(ge=1, le=16_384)] | None,
        Meta(description="Maximum width in pixels; the height keeps the proportions"),
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
    losses: tuple[Loss, ...] = (Loss(text="transparency, movement and pages after the first"),)

    def __init__(self, sandbox: Sandbox, pictures: Pictures) -> None:
        """`pictures` makes the JPEG for the page; its owner closes it."""
        self._sandbox = sandbox
        self._pictures = pictures
        self._program = SandboxedProgram(sandbox, "pictures.sandboxed.pdf_page", packages=("pypdfium2",))
        self.sources: tuple[str, ...] = pictures.sources

    async def version(self) -> str | None:
        """Return libvips' version, or None when it or pdfium is missing; learn which formats libvips reads."""
        version = await self._pictures.version() if self._program.is_installed else None
        self.sources = self._pictures.sources
        return version

    async def convert(self, job: Job) -> list[Product]:
        """Put the first picture or frame, upright, on one page."""
        as_jpeg = msgspec.structs.replace(
            job,
            target_format="jpg",
            options=PictureOptions(quality=job.options.quality, width=job.options.width),
        )
        (jpeg,) = await self._pictures.convert(as_jpeg)
        product = job.folder / "page.pdf"
        job.report(80, "putting the picture on a page")
        answer = await self._make_page(job, jpeg.path, product)
        if answer != {"pages": 1, "objects": 1}:
            raise OutputInvalid(detail=f"one picture became {answer}")
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Do nothing: the owner of `pictures` closes it."""

    async def _make_page(self, job: Job, jpeg: Path, product: Path) -> dict[str, Any]:
        request = {
            "source": self._sandbox.path_inside(job.folder, jpeg),
            "output": self._sandbox.path_inside(job.folder, product),
            "dpi": _SCREEN_DPI,
        }
        return await self._program.run(request, folder=job.folder, limits=job.limits)
