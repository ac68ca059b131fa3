"""A picture of a model, drawn by f3d without a screen. What is drawn is a GLB that `Meshes` or `Cad` made and checked.

So f3d, whose readers are many and little hardened, never reads a file of a stranger.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, ConversionError
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.models.cad import Cad, CadOptions
from converto_engines.models.meshes import Meshes, MeshOptions
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_UPRIGHT_IN_Z = ("stl", "3mf")
"""Formats of printing, where +Z is up; in the others it is +Y by rule or by habit."""

_Side = Annotated[int, Meta(ge=16, le=4096)]


class ModelPreviewOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for a picture of a model."""

    width: Annotated[_Side, Meta(description="Pixels")] = 1280
    height: Annotated[_Side, Meta(description="Pixels; the model fills the picture without being stretched")] = 960
    background: Annotated[
        Annotated[str, Meta(pattern="^(#[0-9a-fA-F]{6}|transparent)$")],
        Meta(description="Colour behind the model, such as #ffffff, or transparent"),
    ] = "#ffffff"
    direction: Annotated[
        Literal["isometric", "front", "back", "left", "right", "top", "bottom"],
        Meta(description="Where the model is seen from"),
    ] = "isometric"
    up_axis: Annotated[
        Literal["y", "z"] | None,
        Meta(description="Which axis points up; default: z for STL, 3MF and exact models, y for others"),
    ] = None


class ModelPreview:
    """Converter of models to pictures; see `Converter` for what its attributes mean."""

    name = "model-preview"
    engine = "f3d"
    family = Family.MODEL
    sources: tuple[str, ...] = (*Meshes.sources, *Cad.sources)
    targets: tuple[str, ...] = ("png",)
    options: type[msgspec.Struct] = ModelPreviewOptions
    loss = 0.8
    seconds = 2.0
    is_paged = False
    losses: tuple[Loss, ...] = (Loss(text="the model itself: a picture of it from one side"),)

    def __init__(self, sandbox: Sandbox, meshes: Meshes, cad: Cad) -> None:
        """Take the sandbox, and the converters that make and check what is drawn."""
        self._sandbox, self._meshes, self._cad = sandbox, meshes, cad
        self._program = SandboxedProgram(sandbox, "models.sandboxed.preview", packages=("f3d", "PIL"))

    async def version(self) -> str | None:
        """Version of f3d, None when it, a way to draw without a screen, or what reads the models is missing."""
        if not self._program.is_installed or await self._meshes.version() is None:
            return None
        try:
            told = await self._program.probe()
        except ConversionError:  # f3d is there, but the library that draws without a screen is not
            return None
        is_cad_there = await self._cad.version() is not None
        self.sources = (*Meshes.sources, *Cad.sources) if is_cad_there else Meshes.sources
        return str(told["version"]) if told else None

    async def convert(self, job: Job) -> list[Product]:
        """One picture of the size asked for."""
        options = job.options
        if options.width * options.height > job.limits.pixels:
            allowed = f"{job.limits.pixels:,} pixels are allowed"
            raise BadOptions(f"The picture would be {options.width} × {options.height} pixels; {allowed}")
        model = await self._drawable(job)
        product = job.folder / "preview.png"
        await self._program.run(
            self._request(job, model, product), folder=job.folder, limits=job.limits, report=job.report
        )
        return [Product(path=product)]

    async def aclose(self) -> None:
        """The other converters are closed by whoever made them."""

    async def _drawable(self, job: Job) -> Path:
        """The model as glTF, which has +Y up: exact models are drawn with +Z up and their own colours."""
        axis = job.options.up_axis or ("z" if job.source_format in _UPRIGHT_IN_Z else "y")
        is_exact = job.source_format in Cad.sources
        if is_exact and axis == "y" and job.options.up_axis is not None:
            raise BadOptions("up_axis: STEP, IGES and BREP models are drawn with z up. Please leave up_axis out")
        converter: Cad | Meshes = self._cad if is_exact else self._meshes
        options = CadOptions() if is_exact else MeshOptions(up="z_to_y" if axis == "z" else "keep")
        as_glb = msgspec.structs.replace(
            job,
            target_format="glb",
            options=options,
            report=lambda percent, stage: job.report(None if percent is None else percent / 2, stage),
        )
        (model,) = await converter.convert(as_glb)
        return model.path

    def _request(self, job: Job, model: Path, product: Path) -> dict[str, Any]:
        return {
            "source": self._sandbox.path_inside(job.folder, model),
            "output": self._sandbox.path_inside(job.folder, product),
            "options": msgspec.to_builtins(job.options),
        }
