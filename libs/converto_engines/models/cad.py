"""Exact models (STEP, IGES, BREP) to meshes and to each other, with OpenCASCADE. The work is done by inside/cad.py.

The kernel takes a second to load, so a process that has it loaded waits for the next model; each process serves one.
"""

import asyncio
import math
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, BadSource, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Job, Limits, Product
from converto_engines.models import figures as model_figures
from converto_engines.models.figures import Figures
from converto_engines.models.meshes import Meshes, MeshOptions, Unit
from converto_engines.runtime import responses
from converto_engines.runtime.link import link_or_copy
from converto_engines.runtime.prestarted import PrestartedProcess, PrestartedProgram
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_ASK_LIMITS = Limits(wall_s=60, cpu_s=40, memory_bytes=1024**3, file_bytes=16 * 1024**2)
_EXACT = ("step", "iges", "brep")
_BY_STL = ("obj", "ply", "3mf")
"""Meshes that the kernel cannot write, or not well: made from its STL, in numbers of the unit asked for."""
_VOLUME_SLACK, _AREA_SLACK = 0.01, 0.02
_ARC_SHARE = 1 / 8
"""A chord over an arc of `angle` is shorter by angle²/24; two directions, and small features cut coarser, take more."""

_Point = tuple[float, float, float]


class CadOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for an exact model."""

    tolerance: Annotated[
        Annotated[float, Meta(ge=1e-5, le=1000)] | None,
        Meta(description="How far the mesh may be from the true surface, in mm; takes the place of relative_tolerance"),
    ] = None
    relative_tolerance: Annotated[
        float, Meta(ge=0.001, le=10, description="The same in percent of the model's size")
    ] = 0.1
    angle: Annotated[
        float, Meta(ge=1, le=60, description="Degrees by which neighbouring facets of a curve may turn at most")
    ] = 20.0
    units: Annotated[
        Unit | None,
        Meta(
            description="Unit of the numbers written; default mm, whatever the source is in. glTF is always in metres"
        ),
    ] = None
    encoding: Annotated[Literal["binary", "ascii"], Meta(description="Of STL; binary is a fifth of the size")] = (
        "binary"
    )


class Exact(msgspec.Struct, frozen=True, kw_only=True):
    """Exact figures in millimetres. The box is a little too large at times, never too small."""

    surfaces: int
    solids: int
    box: tuple[_Point, _Point]
    size: float
    area: float
    volume: float


class Cad:
    """Converter of exact models; see `Converter` for what its attributes mean."""

    name = "cad"
    engine = "OpenCASCADE"
    family = Family.MODEL
    sources: tuple[str, ...] = _EXACT
    targets: tuple[str, ...] = ("stl", "obj", "glb", "ply", "3mf", *_EXACT)
    options: type[msgspec.Struct] = CadOptions
    loss = 0.1
    seconds = 2.0
    is_paged = False
    losses: tuple[Loss, ...] = (
        Loss(text="exact curves: the surface becomes triangles", targets=("stl", "obj", "glb", "ply", "3mf")),
        Loss(text="colours, names and the division into parts", targets=("stl", "obj", "ply", "3mf", "brep")),
        Loss(text="measures, notes and how the part was built", sources=("step",)),
        Loss(text="solids become loose surfaces", targets=("iges",)),
    )

    def __init__(self, sandbox: Sandbox, meshes: Meshes, *, scratch: Path | None = None) -> None:
        """Take the sandbox, the converter that writes some of the meshes, and `scratch` as in `PrestartedProgram`."""
        self._sandbox, self._meshes = sandbox, meshes
        self._program = SandboxedProgram(sandbox, "models.sandboxed.cad", packages=("OCP", "numpy"))
        self._standby = PrestartedProgram(self._program.start, scratch=scratch)
        self._measuring = model_figures.Measuring(sandbox)

    async def version(self) -> str | None:
        """Version of the kernel, None when it or what checks its results is missing."""
        if not self._program.is_installed or await self._meshes.version() is None:
            return None
        able = await self._program.probe_over_stdin(_ASK_LIMITS)
        return None if able is None else str(able["version"])

    async def convert(self, job: Job) -> list[Product]:
        """One model; a mesh is within the tolerance of the exact surface, an exact model is the same as the source."""
        if job.target_format == "glb" and job.options.units not in {None, "m"}:
            raise BadOptions("units: glTF is always in metres. Please leave units out")
        written = "stl" if job.target_format in _BY_STL else job.target_format
        product = job.folder / f"cad.{written}"
        async with self._standby.acquire(job.limits) as ready:
            made = await self._made(job, ready, product)
        if made["faces"] is not None:
            await self._check(job, made, product)
        if job.target_format in _BY_STL:
            product = await self._as_other_mesh(job, product)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """End the process that waits for the next model."""
        await self._standby.aclose()

    async def _made(self, job: Job, ready: PrestartedProcess, product: Path) -> dict[str, Any]:
        source, output = ready.folder / f"source.{job.source_format}", ready.folder / product.name
        await asyncio.to_thread(link_or_copy, job.source, source)
        request = {
            "source": self._sandbox.path_inside(ready.folder, source),
            "source_format": job.source_format,
            "output": self._sandbox.path_inside(ready.folder, output),
            "target_format": job.target_format,
            "options": msgspec.to_builtins(job.options),
            "faces": job.limits.faces,
        }
        answer = await ready.child.request(request, timeout_s=job.limits.wall_s, report=job.report)
        made = responses.result_of(answer, ready.child.stderr_tail)
        if job.target_format not in _EXACT and not made["surfaces"]:
            raise BadSource("The model holds no surface to mesh, only edges, wires or points", code="source_empty")
        if made["faces"] == 0:
            raise OutputInvalid("The surface of the model could not be cut into triangles")
        await asyncio.to_thread(shutil.move, output, product)
        return made

    async def _check(self, job: Job, made: dict[str, Any], product: Path) -> None:
        """The mesh as a reader sees it that knows nothing of the kernel, against the exact figures."""
        exact = msgspec.convert(made["exact"], Exact)
        if made["result"] is not None:
            seen: Figures | None = model_figures.of(made["result"])
        else:
            job.report(85, "checking the model")
            (seen,) = await self._measuring.figures_of(job, {product: product.suffix[1:]})
        in_mm = _in_mm(seen, "m" if job.target_format == "glb" else job.options.units or "mm")
        if job.target_format == "glb":
            in_mm = _upright(in_mm)
        check(exact, in_mm, made["deflection"], job.options.angle)

    async def _as_other_mesh(self, job: Job, stl: Path) -> Path:
        job.report(85, "writing the model")
        options = MeshOptions(source_units=job.options.units or "mm")
        silent = msgspec.structs.replace(job, source=stl, source_format="stl", options=options, report=lambda *_: None)
        return await self._meshes.made(silent)


_MM_OF = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}


def _in_mm(figures: Figures | None, unit: str) -> Figures:
    factor = _MM_OF[unit]
    if figures is None or figures.box is None:
        raise OutputInvalid("The result holds no surface")
    low, high = (tuple(coordinate * factor for coordinate in corner) for corner in figures.box)
    return msgspec.structs.replace(
        figures, box=(low, high), area=figures.area * factor**2, volume=figures.volume * factor**3
    )


def _upright(figures: Figures) -> Figures:
    """From +Y up, as glTF has it, back to +Z up."""
    assert figures.box is not None  # noqa: S101 -- `_in_mm` looked
    low, high = figures.box
    return msgspec.structs.replace(figures, box=((low[0], -high[2], low[1]), (high[0], -low[2], high[1])))


def check(exact: Exact, made: Figures, deflection: float, angle: float) -> None:
    """Raise `OutputInvalid` when a mesh in millimetres is not within its tolerance of the exact model.

    Volumes are compared without their sign: some files hold solids that are inside out.
    """
    if not made.is_finite or made.box is None or made.faces == 0:
        raise OutputInvalid("The result holds no surface or coordinates that are not numbers")
    slack = deflection + model_figures.BOX_TOLERANCE * exact.size
    for low, inner_low, inner_high, high in zip(exact.box[0], *made.box, exact.box[1], strict=True):
        if inner_low < low - slack or inner_high > high + slack:
            raise OutputInvalid("The result is larger than the source", detail=f"{exact.box} became {made.box}")
    allowed_area = (_AREA_SLACK + math.radians(angle) ** 2 * _ARC_SHARE) * exact.area
    if abs(made.area - exact.area) > allowed_area:
        raise OutputInvalid(f"The result's surface is {made.area:g} mm² instead of {exact.area:g} mm²")
    allowed_volume = exact.area * deflection + _VOLUME_SLACK * abs(exact.volume)
    if exact.solids and abs(abs(made.volume) - abs(exact.volume)) > allowed_volume:
        raise OutputInvalid(f"The result's volume is {made.volume:g} mm³ instead of {exact.volume:g} mm³")
