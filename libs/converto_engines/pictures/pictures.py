"""Pictures to other formats, sizes, qualities and colours with libvips.

Each picture gets a process of its own, because picture decoders are a favourite target of attackers. The next process
starts ahead of time, because starting libvips takes longer than converting a small picture.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.formats import Family
from converto_engines.converter import ANSWER_WITHIN_S, Job, Limits, Product
from converto_engines.pictures import sandboxed
from converto_engines.pictures.sandboxed.samples import BLACK_TO_WHITE
from converto_engines.pictures.sandboxed.save import SAVERS
from converto_engines.pictures.sandboxed.source import ANIMATED, LOADERS
from converto_engines.runtime import interpreter
from converto_engines.runtime.prestarted import PrestartedProgram
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_LONGEST_SIDE = 16_384
_STILL = ("png", "jpg", "avif", "heic", "tiff", "bmp", "ico", "jxl", "jp2")
_ASK_LIMITS = Limits(wall_s=ANSWER_WITHIN_S, cpu_s=10, memory_bytes=512 * 1024**2, file_bytes=16 * 1024**2)
ENVIRONMENT = {"VIPS_BLOCK_UNTRUSTED": "1", "MAGICK_CONFIGURE_PATH": str(Path(sandboxed.__file__).parent / "magick")}

_Side = Annotated[int, Meta(ge=1, le=_LONGEST_SIDE)]


class PictureOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of a picture."""

    quality: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        Meta(
            description="For JPEG, WebP, AVIF, HEIC, JPEG 2000 and JPEG XL; default 85, 80, 60, 60, 75 and 85. Other"
            " formats are lossless"
        ),
    ] = None
    width: Annotated[_Side | None, Meta(description="Pixels; with height: the box that `fit` refers to")] = None
    height: Annotated[_Side | None, Meta(description="Pixels; alone: the width keeps the proportions")] = None
    fit: Annotated[
        Literal["inside", "cover", "fill"],
        Meta(description="inside: whole picture within the box; cover: fill it and crop; fill: stretch to the box"),
    ] = "inside"
    enlarge: Annotated[bool, Meta(description="Allow enlarging; drawings (SVG) may always be enlarged")] = False
    strip: Annotated[bool, Meta(description="Remove metadata such as location and camera; colours become sRGB")] = False
    lossless: Annotated[
        bool, Meta(description="For WebP, JPEG XL, JPEG 2000 and AVIF: keep every pixel (AVIF: nearly)")
    ] = False
    background: Annotated[
        Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")] | None,
        Meta(description="Colour behind transparent parts, such as #ffffff; JPEG needs one and defaults to white"),
    ] = None
    page: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Page or frame to convert; default: all frames if the target can be animated, else the first"),
    ] = None


class Pictures:
    """Converter of pictures; see `Converter` for what its attributes mean."""

    name = "vips"
    engine = "libvips"
    family = Family.IMAGE
    options: type[msgspec.Struct] = PictureOptions
    loss = 0.02
    seconds = 0.5
    is_paged = False
    losses: tuple[Loss, ...] = (
        Loss(text="fine detail, by as much as the quality says", targets=("jpg", "webp", "avif", "heic", "jxl", "jp2")),
        Loss(text="transparency: a background colour takes its place", targets=("jpg", "bmp")),
        Loss(text="all but 256 colours", targets=("gif",)),
        Loss(text="pages: one is kept", sources=("tiff", "heic")),
        Loss(
            text="numbers that are no brightness, such as heights, are scaled to it",
            sources=("tiff",),
            targets=tuple(target for target in SAVERS if target != "tiff"),
        ),
        Loss(text="layers are flattened", sources=("psd",)),
        Loss(text="shapes become pixels", sources=("svg",)),
        Loss(text="movement: one frame is kept", sources=("gif", "webp", "avif"), targets=_STILL),
        Loss(text="movement of an animated PNG: one frame is kept", sources=("png",), targets=_STILL),
        Loss(text="all but 8 bits per colour", targets=("jpg", "webp", "avif", "heic", "gif", "bmp", "ico")),
        Loss(text="size: an icon has at most 256 pixels per side", targets=("ico",)),
    )

    def __init__(self, sandbox: Sandbox, *, scratch: Path | None = None) -> None:
        """Take the sandbox that runs each picture's process; `scratch` as in `PrestartedProgram`."""
        self._sandbox = sandbox
        self._packages = interpreter.package_folders("PIL") or ()
        self._program = SandboxedProgram(
            sandbox, "pictures.sandboxed.pictures", readable=self._packages, environment=ENVIRONMENT
        )
        self._prestarted = PrestartedProgram(self._program.start, scratch=scratch)
        self.sources: tuple[str, ...] = tuple(LOADERS)
        self.targets: tuple[str, ...] = tuple(SAVERS)

    async def version(self) -> str | None:
        """Return libvips' version, or None when it is missing; learn which formats it was built with."""
        answer = await self._program.probe_over_stdin(_ASK_LIMITS, files=("probe",))
        if answer is None:
            return None
        self.sources, self.targets = tuple(answer["sources"]), tuple(answer["targets"])
        return str(answer["version"])

    async def convert(self, job: Job) -> list[Product]:
        """Convert one picture; several pages give one product, animated where the target supports it."""
        product = job.folder / f"picture.{job.target_format}"
        async with self._prestarted.acquire(job.limits) as ready:
            job.report(None, "converting the picture")
            packages = [str(path) for path in self._packages]
            pixels, frames = job.limits.pixels, job.limits.pages
            answer = await ready.convert(job, product, self._sandbox, pixels=pixels, frames=frames, packages=packages)
        tell(job, answer)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Stop the prestarted process."""
        await self._prestarted.aclose()


def tell(job: Job, answer: Mapping[str, Any]) -> None:
    """Note what the result lacks of this picture; `answer` is that of the sandboxed program."""
    pages, frames = int(answer["pages"]), int(answer["frames"])
    if pages > frames:
        noun = "frame" if job.source_format in {*ANIMATED, "avif", "png"} else "page"
        job.note(f"Only {noun} {int(answer['page'])} of {pages} was converted; the option page selects another")
    if answer["samples"] not in (None, list(BLACK_TO_WHITE)):
        low, high = (f"{float(sample):,.6g}" for sample in answer["samples"])
        job.note(f"Samples from {low} to {high} were scaled to the range from black to white")
