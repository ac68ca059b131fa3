"""Pictures to pictures with libvips: format, size, quality, colours. The work is done by inside/pictures.py.

Each picture has a process of its own, because decoders of pictures are what attackers know best.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.errors import EngineMissing
from converto_core.formats import Family
from converto_engines import answers, interpreter
from converto_engines.converter import Job, Limits, Product
from converto_engines.process import Sandbox
from converto_engines.sandbox import INSIDE

_LONGEST_SIDE = 16_384
_ASK_LIMITS = Limits(wall_s=20, cpu_s=10, memory_bytes=512 * 1024**2, file_bytes=1024**2)
_ENVIRONMENT = {"VIPS_BLOCK_UNTRUSTED": "1", "MAGICK_CONFIGURE_PATH": str(INSIDE / "magick")}

_Side = Annotated[int, Meta(ge=1, le=_LONGEST_SIDE)]


class PictureOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for a picture."""

    quality: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        Meta(description="For JPEG, WebP and AVIF; default 85, 80 and 60. Other formats lose nothing anyway"),
    ] = None
    width: Annotated[_Side | None, Meta(description="Pixels; with height: the box that `fit` speaks of")] = None
    height: Annotated[_Side | None, Meta(description="Pixels; alone: the width follows from the shape")] = None
    fit: Annotated[
        Literal["inside", "cover", "fill"],
        Meta(description="inside: whole picture within the box; cover: fills it, edges cut off; fill: stretched to it"),
    ] = "inside"
    enlarge: Annotated[bool, Meta(description="Whether a picture may grow; drawings (SVG) always may")] = False
    strip: Annotated[bool, Meta(description="Remove metadata such as place and camera; colours become sRGB")] = False
    lossless: Annotated[bool, Meta(description="For WebP and AVIF: keep every pixel (AVIF: nearly)")] = False
    background: Annotated[
        Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")] | None,
        Meta(description="Colour put behind transparent parts, such as #ffffff; JPEG needs one and takes white"),
    ] = None
    page: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Which page or frame; default: all of an animation where the target can move, else the first"),
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

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each picture's process runs in."""
        self._sandbox = sandbox
        self.sources: tuple[str, ...] = ("png", "jpg", "webp", "tiff", "gif")
        self.targets: tuple[str, ...] = ("png", "jpg", "webp", "tiff", "gif")

    async def version(self) -> str | None:
        """Version of libvips, None when it is missing; asks it also which formats it was built with."""
        with tempfile.TemporaryDirectory(prefix="converto-") as folder:
            try:
                able = await self._ask({"ask": "able"}, folder=Path(folder), limits=_ASK_LIMITS)
            except EngineMissing:
                return None
        self.sources, self.targets = tuple(able["sources"]), tuple(able["targets"])
        version: str = able["version"]
        return version

    async def convert(self, job: Job) -> list[Product]:
        """Convert one picture; a source of several pages gives one result, animated where the target can be."""
        output = job.folder / f"picture.{job.target_format}"
        job.report(None, "converting the picture")
        made = await self._ask(_request(job, output, self._sandbox), folder=job.folder, limits=job.limits, job=job)
        if made["pages"] > made["frames"]:
            job.report(100, f"took one of {made['pages']} pages")
        return [Product(path=output)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""

    async def _ask(
        self, request: dict[str, Any], *, folder: Path, limits: Limits, job: Job | None = None
    ) -> dict[str, Any]:
        finished = await self._sandbox.run(
            [*interpreter.program("pictures.py"), json.dumps(request)],
            folder=folder,
            limits=limits,
            readable=interpreter.readable_folders(),
            environment=_ENVIRONMENT,
        )
        return answers.last_line(finished)


def _request(job: Job, output: Path, sandbox: Sandbox) -> dict[str, Any]:
    return {
        "source": sandbox.inside(job.folder, job.source),
        "output": sandbox.inside(job.folder, output),
        "source_format": job.source_format,
        "target_format": job.target_format,
        "options": msgspec.to_builtins(job.options),
        "pixels": job.limits.pixels,
        "frames": job.limits.pages,
    }
