"""Meshes to meshes: trimesh reads and writes, assimp reads what trimesh cannot and checks what was written.

Who reads what was decided by the corpus. Assimp alone knows FBX, COLLADA and 3DS, and it alone cuts hollow polygons
(OBJ, OFF) into triangles rightly; but it crashes on 3MF packages of several parts, which a reader of our own takes,
and the coloured PLY that it writes is broken, so it writes nothing that leaves this house.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadSource
from converto_core.formats import Family
from converto_engines.converter import Job, Limits, Product
from converto_engines.models import figures as model_figures
from converto_engines.models import headers as model_headers
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

BY_ASSIMP = ("obj", "off", "fbx", "dae", "3ds")
"""Sources that assimp reads first; it hands them on as GLB."""
_READ_TWICE = ("stl", "glb")
"""Sources that a second reader can read as well, so that each checks the other."""
_ASK_LIMITS = Limits(wall_s=20, cpu_s=10, memory_bytes=512 * 1024**2, file_bytes=1024**2)

Unit = Literal["mm", "cm", "m", "inch"]


class MeshOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for a mesh."""

    units: Annotated[
        Unit | None,
        Meta(description="Unit of the numbers written; default: numbers are kept. glTF is always in metres"),
    ] = None
    source_units: Annotated[
        Unit | None, Meta(description="Unit of the numbers in the source, where the file itself does not state one")
    ] = None
    up: Annotated[
        Literal["keep", "y_to_z", "z_to_y"],
        Meta(description="Turn the model: y_to_z stands a glTF upright for printing, z_to_y a CAD part for the web"),
    ] = "keep"
    encoding: Annotated[
        Literal["binary", "ascii"], Meta(description="Of STL and PLY; binary is a fifth of the size")
    ] = "binary"


class Meshes:
    """Converter of meshes; see `Converter` for what its attributes mean."""

    name = "mesh"
    engine = "trimesh and assimp"
    family = Family.MODEL
    sources: tuple[str, ...] = ("stl", "obj", "glb", "gltf", "ply", "3mf", "off", "fbx", "dae", "3ds")
    targets: tuple[str, ...] = ("stl", "obj", "glb", "ply", "3mf", "off")
    options: type[msgspec.Struct] = MeshOptions
    loss = 0.05
    seconds = 1.0
    is_paged = False
    losses: tuple[Loss, ...] = (
        Loss(text="colours, materials and textures: only the surface is kept", targets=("stl", "3mf", "off")),
        Loss(text="materials and textures become one colour per corner", targets=("obj", "ply")),
        Loss(text="parts become one mesh", targets=("stl", "obj", "ply", "off")),
        Loss(text="the unit of the numbers, which the file cannot state", targets=("stl", "obj", "ply", "off")),
        Loss(text="movement, cameras and lights", sources=("glb", "gltf", "fbx", "dae", "3ds")),
        Loss(text="materials and textures that lie in other files", sources=("obj", "fbx", "dae", "3ds")),
        Loss(text="colours, and settings for printing", sources=("3mf",)),
        Loss(text="digits after the seventh", sources=("obj", "off", "ply")),
    )

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that all programs run in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "models.sandboxed.meshes", packages=("trimesh", "numpy", "lxml"))
        self._measuring = model_figures.Measuring(sandbox)

    async def version(self) -> str | None:
        """Versions of trimesh and assimp, None when one of them is missing."""
        told = await self._program.probe() if self._program.is_installed else None
        assimp = await model_figures.assimp_version(self._sandbox, _ASK_LIMITS)
        return f"{told['version']}, {assimp}" if told and assimp else None

    async def convert(self, job: Job) -> list[Product]:
        """One mesh; its faces, box, surface and volume are those of the source."""
        await asyncio.to_thread(model_headers.check, job.source, job.source_format, job.limits.faces)
        return [Product(path=await self.made(job))]

    async def aclose(self) -> None:
        """Nothing is kept warm."""

    async def made(self, job: Job) -> Path:
        """The result of a job whose source has passed its check of size."""
        source, kind = job.source, job.source_format
        if kind in BY_ASSIMP:
            job.report(0, "reading the model")
            source, kind = await self._read_by_assimp(job), "glb"
        product = job.folder / f"model.{job.target_format}"
        answer = await self._program.run(
            self._request(job, source, kind, product), folder=job.folder, limits=job.limits, report=job.report
        )
        _raise_for_content(answer)
        job.report(75, "checking the model")
        await self._check(job, answer, product, source, kind)
        return product

    def _request(self, job: Job, source: Path, kind: str, product: Path) -> dict[str, Any]:
        return {
            "source": self._sandbox.path_inside(job.folder, source),
            "source_format": kind,
            # What assimp hands on as GLB has the numbers of its source; only COLLADA's it turns into metres.
            "is_in_metres": job.source_format in {"glb", "gltf", "dae"},
            "output": self._sandbox.path_inside(job.folder, product),
            "target_format": job.target_format,
            "options": msgspec.to_builtins(job.options),
            "limits": {
                "faces": job.limits.faces,
                "entries": job.limits.entries,
                "unpacked_bytes": job.limits.unpacked_bytes,
            },
        }

    async def _read_by_assimp(self, job: Job) -> Path:
        named = await model_figures.named_by_format(job.folder, job.source, job.source_format)
        return await model_figures.with_assimp(self._sandbox, job, named, "glb")

    async def _check(self, job: Job, answer: dict[str, Any], product: Path, source: Path, kind: str) -> None:
        """The result against what was read, and what was read against what a second reader sees in the source."""
        meshes = {product: await asyncio.to_thread(_read_as, product, job.target_format)}
        if kind in _READ_TWICE:
            meshes[source] = await asyncio.to_thread(_read_as, source, kind)
        made, *seen_again = await self._measuring.figures_of(job, meshes)
        model_figures.check(model_figures.of(answer["result"]), made)
        for seen in filter(None, seen_again):
            model_figures.check(model_figures.of(answer["source"]), seen)


def _read_as(path: Path, kind: str) -> str:
    return "stlb" if kind == "stl" and model_headers.is_binary_stl(path) else kind


def _raise_for_content(answer: dict[str, Any]) -> None:
    if foreign := answer.get("foreign"):
        parts = "another file" if foreign == 1 else f"{foreign} other files"
        advice = "Please export it as one file (.glb, or glTF with embedded data)"
        raise BadSource(f"The model refers to {parts} that did not come with it. {advice}", code="source_incomplete")
    if answer.get("faces") == 0:
        raise BadSource("The model holds no surface, only points or lines, or nothing at all", code="source_empty")
