"""Exact models (STEP, IGES, BREP) to meshes and to each other with OpenCASCADE.

Loading the kernel takes a second, so a prestarted process has it loaded for the next model; each process serves one.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, BadSource, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import ANSWER_WITHIN_S, Job, Limits, Product, ignore_report
from converto_engines.models import figures
from converto_engines.models.figures import Figures
from converto_engines.models.meshes import Meshes, MeshOptions, Unit
from converto_engines.runtime.prestarted import PrestartedProcess, PrestartedProgram
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_ASK_LIMITS = Limits(wall_s=ANSWER_WITHIN_S, cpu_s=40, memory_bytes=1024**3, file_bytes=16 * 1024**2)
_EXACT = ("step", "iges", "brep")
_VIA_STL = ("obj", "ply", "3mf")
"""Meshes that the kernel cannot write, or not well: `Meshes` makes them from an STL in the requested unit."""
_VOLUME_SLACK, _AREA_SLACK = 0.01, 0.02
_ARC_SHARE = 1 / 8
"""A chord over an arc of `angle` is shorter by angle²/24; two directions and coarse small features need more."""

_Point = tuple[float, float, float]


class CadOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of an exact model."""

    tolerance: Annotated[
        Annotated[float, Meta(ge=1e-5, le=1000)] | None,
        Meta(description="Maximum distance of the mesh from the surface in mm; overrides relative_tolerance"),
    ] = None
    relative_tolerance: Annotated[
        float, Meta(ge=0.001, le=10, description="Maximum distance in percent of the model's size")
    ] = 0.1
    angle: Annotated[
        float, Meta(ge=1, le=60, description="Maximum angle between adjacent facets of a curve, in degrees")
    ] = 20.0
    units: Annotated[
        Unit | None,
        Meta(description="Unit of the coordinates written; default mm for any source. glTF is always in metres"),
    ] = None
    encoding: Annotated[
        Literal["binary", "ascii"], Meta(description="Encoding of STL; binary is a fifth of the size")
    ] = "binary"


class Exact(msgspec.Struct, frozen=True, kw_only=True):
    """Exact figures in millimetres; the box may be slightly too large, never too small."""

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
        """`meshes` writes the formats the kernel cannot write; `scratch` as in `PrestartedProgram`."""
        self._sandbox, self._meshes = sandbox, meshes
        self._program = SandboxedProgram(sandbox, "models.sandboxed.cad", packages=("OCP", "numpy"))
        self._prestarted = PrestartedProgram(self._program.start, scratch=scratch)
        self._measurer = figures.MeshMeasurer(sandbox)

    async def version(self) -> str | None:
        """Return the kernel's version, or None when it or the mesh converter is missing."""
        if not self._program.is_installed or await self._meshes.version() is None:
            return None
        answer = await self._program.probe_over_stdin(_ASK_LIMITS)
        return None if answer is None else str(answer["version"])

    async def convert(self, job: Job) -> list[Product]:
        """Convert one model; a mesh stays within the tolerance, an exact model equals the source."""
        if job.target_format == "glb" and job.options.units not in {None, "m"}:
            raise BadOptions("units: glTF is always in metres. Remove units or set it to m")
        written = "stl" if job.target_format in _VIA_STL else job.target_format
        product = job.folder / f"cad.{written}"
        async with self._prestarted.acquire(job.limits) as ready:
            answer = await self._run(job, ready, product)
        if answer["faces"] is not None:
            await self._check(job, answer, product)
        if job.target_format in _VIA_STL:
            product = await self._as_other_mesh(job, product)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Stop the prestarted process."""
        await self._prestarted.aclose()

    async def _run(self, job: Job, ready: PrestartedProcess, product: Path) -> dict[str, Any]:
        done = await ready.convert(job, product, self._sandbox, report=job.report, faces=job.limits.faces)
        if job.target_format not in _EXACT and not done["surfaces"]:
            raise BadSource("The model has no surface to mesh, only edges, wires or points", code="source_empty")
        if done["faces"] == 0:
            raise OutputInvalid("The surface of the model could not be triangulated")
        return done

    async def _check(self, job: Job, answer: dict[str, Any], product: Path) -> None:
        """Compare the mesh, measured without the kernel, with the exact figures."""
        exact = msgspec.convert(answer["exact"], Exact)
        if answer["result"] is not None:
            measured: Figures | None = figures.decode(answer["result"])
        else:
            job.report(85, "checking the model")
            (measured,) = await self._measurer.figures_of(job, {product: product.suffix[1:]})
        in_mm = _in_mm(measured, "m" if job.target_format == "glb" else job.options.units or "mm")
        if job.target_format == "glb":
            in_mm = _z_up(in_mm)
        check(exact, in_mm, answer["deflection"], job.options.angle)

    async def _as_other_mesh(self, job: Job, stl: Path) -> Path:
        job.report(85, "writing the model")
        options = MeshOptions(source_units=job.options.units or "mm")
        as_mesh = msgspec.structs.replace(job, source=stl, source_format="stl", options=options, report=ignore_report)
        return await self._meshes.convert_checked(as_mesh)


_MM_OF = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}


def _in_mm(mesh: Figures | None, unit: str) -> Figures:
    factor = _MM_OF[unit]
    if mesh is None or mesh.box is None:
        raise OutputInvalid("The result has no surface")
    low, high = (tuple(coordinate * factor for coordinate in corner) for corner in mesh.box)
    return msgspec.structs.replace(mesh, box=(low, high), area=mesh.area * factor**2, volume=mesh.volume * factor**3)


def _z_up(mesh: Figures) -> Figures:
    """Rotate the box from +Y up, as in glTF, to +Z up."""
    assert mesh.box is not None  # noqa: S101 -- checked by `_in_mm`
    low, high = mesh.box
    return msgspec.structs.replace(mesh, box=((low[0], -high[2], low[1]), (high[0], -low[2], high[1])))


def check(exact: Exact, mesh: Figures, deflection: float, angle: float) -> None:
    """Raise `OutputInvalid` when a mesh in millimetres is not within its tolerance of the exact model.

    Volumes are compared without sign, because some files hold solids that are inside out.
    """
    if not mesh.is_finite or mesh.box is None or mesh.faces == 0:
        raise OutputInvalid("The result has no surface, or coordinates that are not numbers")
    slack = deflection + figures.BOX_TOLERANCE * exact.size
    for low, inner_low, inner_high, high in zip(exact.box[0], *mesh.box, exact.box[1], strict=True):
        if inner_low < low - slack or inner_high > high + slack:
            raise OutputInvalid("The result is larger than the source", detail=f"{exact.box} became {mesh.box}")
    allowed_area = (_AREA_SLACK + math.radians(angle) ** 2 * _ARC_SHARE) * exact.area
    if abs(mesh.area - exact.area) > allowed_area:
        raise OutputInvalid(f"The result's surface is {mesh.area:g} mm² instead of {exact.area:g} mm²")
    allowed_volume = exact.area * deflection + _VOLUME_SLACK * abs(exact.volume)
    if exact.solids and abs(abs(mesh.volume) - abs(exact.volume)) > allowed_volume:
        raise OutputInvalid(f"The result's volume is {mesh.volume:g} mm³ instead of {exact.volume:g} mm³")
