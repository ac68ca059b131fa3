"""What can be measured of a mesh, how much two measurements may differ, and the program that measures.

A mesh is measured by readers that did not make it: our own for STL, PLY and GLB; assimp turns the rest into STL.
"""

import asyncio
import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from converto_core.errors import CorruptSource, EngineCrashed, EngineMissing, OutputInvalid
from converto_engines.converter import Job, Limits
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_Point = tuple[float, float, float]

BOX_TOLERANCE = 1e-5
"""Of the size; single precision and seven written digits keep 1e-7."""
AREA_TOLERANCE = 1e-4
VOLUME_TOLERANCE = 1e-4
_NOISE = 1e-6
"""Of size × area, what an open or very flat mesh's volume may differ by rounding alone."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one mesh. `degenerate` faces have no area; `box` is None when there is nothing to measure."""

    faces: int
    degenerate: int
    is_finite: bool
    box: tuple[_Point, _Point] | None
    area: float
    volume: float

    @property
    def size(self) -> float:
        """Length of the box's diagonal."""
        return math.dist(*self.box) if self.box else 0.0


def check(expected: Figures, made: Figures | None) -> None:
    """Raise `OutputInvalid` when a mesh is not the one it was made from."""
    if made is None or not made.is_finite or made.box is None or expected.box is None:
        raise OutputInvalid("The result holds no surface or coordinates that are not numbers")
    if abs(expected.faces - made.faces) > expected.degenerate:
        raise OutputInvalid(f"The result has {made.faces:,} faces instead of {expected.faces:,}")
    check_box(expected.box, made.box, BOX_TOLERANCE * expected.size)
    if abs(expected.area - made.area) > AREA_TOLERANCE * expected.area:
        raise OutputInvalid(f"The result's surface is {made.area:g} instead of {expected.area:g}")
    allowed = VOLUME_TOLERANCE * abs(expected.volume) + _NOISE * expected.size * expected.area
    if abs(abs(expected.volume) - abs(made.volume)) > allowed:
        raise OutputInvalid(f"The result's volume is {made.volume:g} instead of {expected.volume:g}")


def check_box(expected: tuple[_Point, _Point], made: tuple[_Point, _Point], allowed: float) -> None:
    """Raise `OutputInvalid` when a corner of a bounding box is further off than allowed."""
    pairs = zip((*expected[0], *expected[1]), (*made[0], *made[1]), strict=True)
    if any(abs(one - other) > allowed for one, other in pairs):
        raise OutputInvalid("The result has another size than the source", detail=f"{expected} became {made}")


class Measuring:
    """Measures meshes of a job folder with assimp and our own reader, both in the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that both programs run in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "models.sandboxed.figures", packages=("numpy",))

    @property
    def is_installed(self) -> bool:
        """Whether numpy is there; assimp is looked for by who uses it."""
        return self._program.is_installed

    async def figures_of(self, job: Job, meshes: Mapping[Path, str]) -> list[Figures | None]:
        """Figures of these files, each with its format, in their order; None for a GLB that cannot be measured.

        `stl` may be text, `stlb` is known to be binary.
        """
        plain = [await self._plain(job, path, kind) for path, kind in meshes.items()]
        request = {"sources": [(self._sandbox.path_inside(job.folder, path), kind) for path, kind in plain]}
        answer = await self._program.run(request, folder=job.folder, limits=job.limits)
        return msgspec.convert(answer["figures"], list[Figures | None])

    async def _plain(self, job: Job, path: Path, kind: str) -> tuple[Path, str]:
        if kind in _READ_BY_US:
            return path, _READ_BY_US[kind]
        named = await named_by_format(job.folder, path, kind)
        try:
            return await with_assimp(self._sandbox, job, named, "stl"), "stl"
        except (CorruptSource, EngineCrashed) as error:
            raise OutputInvalid("The result cannot be read by a second program", detail=error.detail) from error


_READ_BY_US = {"stlb": "stl", "ply": "ply", "glb": "glb"}
_EXPORTERS = {"stl": "stlb", "glb": "glb2"}


async def with_assimp(sandbox: Sandbox, job: Job, source: Path, target: str) -> Path:
    """A mesh as assimp writes it, beside its source; raises `CorruptSource` when it reads nothing of the source."""
    made = source.with_name(f"{source.name}.{target}")
    argv = ["assimp", "export", sandbox.path_inside(job.folder, source), sandbox.path_inside(job.folder, made)]
    finished = await sandbox.run([*argv, f"-f{_EXPORTERS[target]}"], folder=job.folder, limits=job.limits)
    if finished.exit_code != 0 or not await asyncio.to_thread(made.is_file):
        raise CorruptSource(detail=finished.stdout.decode(errors="replace")[-1000:])
    return made


async def named_by_format(folder: Path, path: Path, kind: str) -> Path:
    """The file under a name that tells its format, as assimp wants it; a link, a copy only for an OBJ."""
    if path.suffix == f".{kind}":
        return path
    named = folder / f"{path.name}.{kind}"
    await asyncio.to_thread(_without_materials if kind == "obj" else _link, path, named)
    return named


def _link(path: Path, named: Path) -> None:
    if not named.exists():
        named.hardlink_to(path)


def of(answer: Mapping[str, Any]) -> Figures:
    """Figures as one of our programs in the sandbox tells them."""
    return msgspec.convert(answer, Figures)


async def assimp_version(sandbox: Sandbox, limits: Limits) -> str | None:
    """Version of assimp, such as 5.2; None when it is missing."""
    with tempfile.TemporaryDirectory(prefix="converto-") as folder:
        try:
            finished = await sandbox.run(["assimp", "version"], folder=Path(folder), limits=limits)
        except EngineMissing:
            return None
    found = re.search(rb"Version (\d+\.\d+(?:\.\d+)?)", finished.stdout)
    return f"assimp {found.group(1).decode()}" if found else None


def _without_materials(path: Path, named: Path) -> None:
    """An OBJ names files of materials, which did not come with it; assimp gives up when their folder is not there."""
    with path.open("rb") as source, named.open("wb") as copy:
        while line := source.readline(_LINE_BYTES):
            if not line.lstrip().startswith(b"mtllib"):
                copy.write(line)


_LINE_BYTES = 64 * 1024
