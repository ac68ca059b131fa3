"""Renders a model to a picture with f3d, off screen.

f3d only gets a GLB that `Meshes` or `Cad` wrote and verified, never an upload, because its readers are not hardened.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.models.cad import Cad, CadOptions
from converto_engines.models.meshes import Meshes, MeshOptions
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_Z_UP = ("stl", "3mf")
"""Printing formats, where +Z is up; in the others +Y is up by specification or convention."""

_Side = Annotated[int, Meta(ge=16, le=4096)]


class ModelPreviewOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of a picture of a model."""

    width: Annotated[_Side, Meta(description="Pixels")] = 1280
    height: Annotated[_Side, Meta(description="Pixels; the model fills the picture and keeps its proportions")] = 960
    background: Annotated[
        Annotated[str, Meta(pattern="^(#[0-9a-fA-F]{6}|transparent)$")],
        Meta(description="Colour behind the model, such as #ffffff, or transparent"),
    ] = "#ffffff"
    direction: Annotated[
        Literal["isometric", "front", "back", "left", "right", "top", "bottom"],
        Meta(description="Direction of view"),
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
        """`meshes` and `cad` write the GLB to draw; their owner closes them."""
        self._sandbox, self._meshes, self._cad = sandbox, meshes, cad
        self._program = SandboxedProgram(sandbox, "models.sandboxed.preview", packages=("f3d", "PIL", "numpy"))

    async def version(self) -> str | None:
        """Return f3d's version, or None when it, off-screen rendering or the mesh converter is missing."""
        if not self._program.is_installed or await self._meshes.version() is None:
            return None
        answer = await self._program.probe()
        has_cad = await self._cad.version() is not None
        self.sources = (*Meshes.sources, *Cad.sources) if has_cad else Meshes.sources
        return str(answer["version"]) if answer else None

    async def convert(self, job: Job) -> list[Product]:
        """Draw one picture of the requested size."""
        options = job.options
        if options.width * options.height > job.limits.pixels:
            allowed = f"at most {job.limits.pixels:,} pixels are allowed"
            raise BadOptions(f"The picture would be {options.width} × {options.height} pixels; {allowed}")
        model = await self._drawable(job)
        product = job.folder / "preview.png"
        await self._program.run(
            self._request(job, model, product), folder=job.folder, limits=job.limits, report=job.report
        )
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Do nothing: the owner of the other converters closes them."""

    async def _drawable(self, job: Job) -> Path:
        """Convert the model to GLB with +Y up; exact models always have +Z up and keep their colours."""
        axis = job.options.up_axis or ("z" if job.source_format in _Z_UP else "y")
        is_exact = job.source_format in Cad.sources
        if is_exact and axis == "y" and job.options.up_axis is not None:
            raise BadOptions("up_axis: STEP, IGES and BREP models always have z up. Remove up_axis or set it to z")
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
