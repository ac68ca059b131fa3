"""Meshes to meshes: trimesh reads and writes, assimp reads what trimesh cannot and verifies the results.

The corpus decided which program reads what. Only assimp reads FBX, COLLADA and 3DS, and only assimp triangulates
concave polygons (OBJ, OFF) correctly. It crashes on 3MF packages of several parts, which our own reader handles, and
writes broken coloured PLY, so it never writes a product.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadSource, CorruptSource, EngineCrashed
from converto_core.formats import Family
from converto_engines.converter import ANSWER_WITHIN_S, Job, Limits, Product
from converto_engines.models import assimp, figures, headers
from converto_engines.models.stl_files import clean_stl
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

BY_ASSIMP = ("obj", "off", "fbx", "dae", "3ds")
"""Sources that assimp exports to GLB for trimesh."""
_MEASURED_SOURCES = ("stl", "glb")
"""Sources that our own reader measures too, to check what trimesh read."""
_ASK_LIMITS = Limits(wall_s=ANSWER_WITHIN_S, cpu_s=10, memory_bytes=512 * 1024**2, file_bytes=1024**2)

Unit = Literal["mm", "cm", "m", "inch"]


class MeshOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of a mesh."""

    units: Annotated[
        Unit | None,
        Meta(description="Unit of the coordinates written; default: coordinates are kept. glTF is always in metres"),
    ] = None
    source_units: Annotated[
        Unit | None, Meta(description="Unit of the coordinates in the source, if the file does not state one")
    ] = None
    up: Annotated[
        Literal["keep", "y_to_z", "z_to_y"],
        Meta(description="Rotate the model: y_to_z turns a glTF upright for printing, z_to_y a CAD part for the web"),
    ] = "keep"
    encoding: Annotated[
        Literal["binary", "ascii"], Meta(description="Encoding of STL and PLY; binary is a fifth of the size")
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
        Loss(text="colours of faces", sources=("off",)),
        Loss(text="digits after the seventh", sources=("obj", "off", "ply")),
    )

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that runs all programs."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "models.sandboxed.meshes", packages=("trimesh", "numpy", "lxml"))
        self._measurer = figures.MeshMeasurer(sandbox)

    async def version(self) -> str | None:
        """Return the versions of trimesh and assimp, or None when one of them is missing."""
        answer = await self._program.probe() if self._program.is_installed else None
        assimp_version = await assimp.version(self._sandbox, _ASK_LIMITS)
        return f"{answer['version']}, {assimp_version}" if answer and assimp_version else None

    async def convert(self, job: Job) -> list[Product]:
        """Convert one mesh; faces, bounding box, surface and volume must match the source."""
        await asyncio.to_thread(headers.check, job.source, job.source_format, job.limits.faces)
        return [Product(path=await self.convert_checked(job))]

    async def aclose(self) -> None:
        """Do nothing: no process outlives its job."""

    async def convert_checked(self, job: Job) -> Path:
        """Convert a source whose size has been checked, and return the path of the verified product."""
        source, kind = job.source, job.source_format
        if kind in BY_ASSIMP:
            job.report(0, "reading the model")
            source, kind = await self._read_by_assimp(job)
        elif kind == "stl":
            source = await asyncio.to_thread(clean_stl, job)
        product = job.folder / f"model.{job.target_format}"
        answer = await self._program.run(
            self._request(job, source, kind, product), folder=job.folder, limits=job.limits, report=job.report
        )
        _raise_for_content(answer)
        _tell_what_is_missing(job, answer)
        job.report(75, "checking the model")
        await self._check(job, answer, product, source, kind)
        return product

    def _request(self, job: Job, source: Path, kind: str, product: Path) -> dict[str, Any]:
        return {
            "source": self._sandbox.path_inside(job.folder, source),
            "source_format": kind,
            # The GLB from assimp has the coordinates of its source; only COLLADA is converted to metres.
            "is_in_metres": job.source_format in {"glb", "gltf", "dae"},
            "is_gltf": job.source_format in {"glb", "gltf"},
            # These state no material, or one in a file that is not uploaded: assimp's grey would darken their colours.
            "ignores_materials": job.source_format in {"obj", "off"},
            "output": self._sandbox.path_inside(job.folder, product),
            "target_format": job.target_format,
            "options": msgspec.to_builtins(job.options),
            "limits": {
                "faces": job.limits.faces,
                "entries": job.limits.entries,
                "unpacked_bytes": job.limits.unpacked_bytes,
            },
        }

    async def _read_by_assimp(self, job: Job) -> tuple[Path, str]:
        """Export the source for trimesh; return the path and the format, STL where assimp cannot write a GLB of it."""
        named = await assimp.named_by_format(job.folder, job.source, job.source_format)
        try:
            return await assimp.export(self._sandbox, job, named, "glb"), "glb"
        except (CorruptSource, EngineCrashed) as error:
            try:
                surface = await assimp.export(self._sandbox, job, named, "stl")
            except (CorruptSource, EngineCrashed):
                raise error from None
        job.note("Only the surface of the model could be read, without its colours, materials and parts.")
        return surface, "stl"

    async def _check(self, job: Job, answer: dict[str, Any], product: Path, source: Path, kind: str) -> None:
        """Compare the result with what trimesh read, and that with what our own reader finds in the source."""
        meshes = {product: await asyncio.to_thread(_read_as, product, job.target_format)}
        if kind in _MEASURED_SOURCES:
            meshes[source] = await asyncio.to_thread(_read_as, source, kind)
        result, *sources = await self._measurer.figures_of(job, meshes)
        figures.check(figures.decode(answer["result"]), result)
        for measured in filter(None, sources):
            figures.check(figures.decode(answer["source"]), measured)


def _read_as(path: Path, kind: str) -> str:
    return "stlb" if kind == "stl" and headers.is_binary_stl(path) else kind


def _raise_for_content(answer: dict[str, Any]) -> None:
    if text := answer.get("unsupported"):
        raise BadSource(text, code="source_unsupported")
    if external := answer.get("foreign"):
        parts = "another file" if external == 1 else f"{external} other files"
        advice = "Export it as one file (.glb, or glTF with embedded data)"
        raise BadSource(f"The model refers to {parts} missing from the upload. {advice}", code="source_incomplete")
    if answer.get("faces") == 0:
        raise BadSource("The model is empty or has only points or lines, no surface", code="source_empty")


def _tell_what_is_missing(job: Job, answer: dict[str, Any]) -> None:
    if names := answer.get("missing_textures"):
        shown = ", ".join(names[:_SHOWN_TEXTURES]) + (", …" if len(names) > _SHOWN_TEXTURES else "")
        one, is_are = ("texture", "is") if len(names) == 1 else ("textures", "are")
        job.note(
            f"The {one} {shown} {is_are} missing: the model refers to other files, which are not part of the upload."
        )
    if names := answer.get("lost_looks"):
        job.note(f"The model may look different: the glTF extensions {', '.join(names)[:200]} are not fully kept.")


_SHOWN_TEXTURES = 5
