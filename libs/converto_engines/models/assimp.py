"""Runs assimp in the sandbox: exports a mesh to another format, and returns its version."""

import asyncio
import re
import tempfile
from pathlib import Path

from converto_core.errors import CorruptSource, EngineCrashed, EngineMissing
from converto_engines.converter import Job, Limits
from converto_engines.models import collada
from converto_engines.runtime.process import Sandbox

_EXPORTERS = {"stl": "stlb", "glb": "glb2"}


async def export(sandbox: Sandbox, job: Job, source: Path, target: str) -> Path:
    """Export a mesh beside its source and return the path; raises `CorruptSource` when assimp cannot read it."""
    output = source.with_name(f"{source.name}.{target}")
    argv = ["assimp", "export", sandbox.path_inside(job.folder, source), sandbox.path_inside(job.folder, output)]
    finished = await sandbox.run([*argv, f"-f{_EXPORTERS[target]}"], folder=job.folder, limits=job.limits)
    if finished.exit_code != 0 or not await asyncio.to_thread(output.is_file):
        raise CorruptSource(detail=finished.stdout.decode(errors="replace")[-1000:])
    return output


async def named_by_format(folder: Path, path: Path, kind: str) -> Path:
    """Return a link or a mended copy whose suffix is the format, by which assimp selects its reader.

    Raises `CorruptSource` for a COLLADA with fewer numbers than its parts use, because assimp reads beyond them.
    """
    if path.suffix == f".{kind}":
        return path
    named = folder / f"{path.name}.{kind}"
    make = {"obj": _without_materials, "dae": collada.copy_with_true_counts}.get(kind, _link)
    await asyncio.to_thread(make, path, named)
    return named


def _link(path: Path, named: Path) -> None:
    if not named.exists():
        named.hardlink_to(path)


async def version(sandbox: Sandbox, limits: Limits) -> str | None:
    """Return "assimp 5.2" or similar; None when it is missing. Raises `EngineCrashed` for another answer."""
    with tempfile.TemporaryDirectory(prefix="converto-") as folder:
        try:
            finished = await sandbox.run(["assimp", "version"], folder=Path(folder), limits=limits)
        except EngineMissing:
            return None
    found = re.search(rb"Version (\d+\.\d+(?:\.\d+)?)", finished.stdout)
    if found is None:
        raise EngineCrashed(detail=f"exit status {finished.exit_code}: {finished.stderr_tail[-200:]}")
    return f"assimp {found.group(1).decode()}"


def _without_materials(path: Path, named: Path) -> None:
    """Drop references to material files, which are not uploaded; assimp fails when their folder is missing."""
    with path.open("rb") as source, named.open("wb") as copy:
        while line := source.readline(_LINE_BYTES):
            if not line.lstrip().startswith(b"mtllib"):
                copy.write(line)


_LINE_BYTES = 64 * 1024
