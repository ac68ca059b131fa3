"""Measures meshes and compares the figures of source and result.

Another reader than the one that wrote a mesh measures it: our own for STL, PLY and GLB; assimp exports the rest to STL.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from converto_core.errors import CorruptSource, EngineCrashed, OutputInvalid
from converto_engines.converter import Job
from converto_engines.models import assimp
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_Point = tuple[float, float, float]

BOX_TOLERANCE = 1e-5
"""Share of the size; single precision and seven digits in text keep 1e-7."""
AREA_TOLERANCE = 1e-4
VOLUME_TOLERANCE = 1e-4
_NOISE = 1e-6
"""Share of size × area by which rounding alone changes the volume of an open or very flat mesh."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one mesh; `degenerate` counts faces without area, `box` is None for an empty mesh."""

    faces: int
    degenerate: int
    is_finite: bool
    box: tuple[_Point, _Point] | None
    area: float
    volume: float

    @property
    def size(self) -> float:
        """Diagonal of the box."""
        return math.dist(*self.box) if self.box else 0.0


def check(expected: Figures, measured: Figures | None) -> None:
    """Raise `OutputInvalid` when the measured figures differ from the expected ones."""
    if measured is None or not measured.is_finite or measured.box is None or expected.box is None:
        raise OutputInvalid("The result has no surface, or coordinates that are not numbers")
    if abs(expected.faces - measured.faces) > expected.degenerate:
        raise OutputInvalid(f"The result has {measured.faces:,} faces instead of {expected.faces:,}")
    check_box(expected.box, measured.box, BOX_TOLERANCE * expected.size)
    if abs(expected.area - measured.area) > AREA_TOLERANCE * expected.area:
        raise OutputInvalid(f"The result's surface is {measured.area:g} instead of {expected.area:g}")
    allowed = VOLUME_TOLERANCE * abs(expected.volume) + _NOISE * expected.size * expected.area
    if abs(abs(expected.volume) - abs(measured.volume)) > allowed:
        raise OutputInvalid(f"The result's volume is {measured.volume:g} instead of {expected.volume:g}")


def check_box(expected: tuple[_Point, _Point], measured: tuple[_Point, _Point], allowed: float) -> None:
    """Raise `OutputInvalid` when a coordinate of two bounding boxes differs by more than `allowed`."""
    pairs = zip((*expected[0], *expected[1]), (*measured[0], *measured[1]), strict=True)
    if any(abs(one - other) > allowed for one, other in pairs):
        raise OutputInvalid("The result and the source differ in size", detail=f"{expected} became {measured}")


class MeshMeasurer:
    """Measures meshes in a job's folder with our own readers and assimp, both sandboxed."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that both programs run in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "models.sandboxed.figures", packages=("numpy",))

    @property
    def is_installed(self) -> bool:
        """Whether numpy is installed; assimp is checked by the converters."""
        return self._program.is_installed

    async def figures_of(self, job: Job, meshes: Mapping[Path, str]) -> list[Figures | None]:
        """Measure files given with their formats, in this order; None for a GLB with unsupported features.

        Format `stlb` is binary STL, `stl` may be ASCII.
        """
        plain = [await self._measurable(job, path, kind) for path, kind in meshes.items()]
        request = {"sources": [(self._sandbox.path_inside(job.folder, path), kind) for path, kind in plain]}
        answer = await self._program.run(request, folder=job.folder, limits=job.limits)
        return msgspec.convert(answer["figures"], list[Figures | None])

    async def _measurable(self, job: Job, path: Path, kind: str) -> tuple[Path, str]:
        if kind in _OWN_READERS:
            return path, _OWN_READERS[kind]
        named = await assimp.named_by_format(job.folder, path, kind)
        try:
            return await assimp.export(self._sandbox, job, named, "stl"), "stl"
        except (CorruptSource, EngineCrashed) as error:
            raise OutputInvalid("The result cannot be read by a second program", detail=error.detail) from error


_OWN_READERS = {"stlb": "stl", "ply": "ply", "glb": "glb"}


def decode(answer: Mapping[str, Any]) -> Figures:
    """Decode figures from the answer of a sandboxed program."""
    return msgspec.convert(answer, Figures)
