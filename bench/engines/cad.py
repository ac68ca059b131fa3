"""Exact models to STL: the converter (sandboxed, verified, kernel preloaded) against a bare process per file.

The bare process imports the kernel, reads, meshes and writes with the same tolerances, without checks. Both take turns
on each file. Run it with `python -m bench.engines.cad CORPUS_FOLDER`.
"""

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import print_medians, save_figures, verdict
from converto_core.formats import format_of_name
from converto_engines.converter import Job, Limits, ignore_report
from converto_engines.models.cad import Cad, CadOptions
from converto_engines.models.meshes import Meshes
from converto_engines.runtime.process import Sandbox

LIMIT = 1.1
SMALLEST_BYTES = 20_000
BARE = """
import math, sys
from OCP.Bnd import Bnd_Box
from OCP.BRep import BRep_Builder
from OCP.BRepBndLib import BRepBndLib
from OCP.BRepMesh import BRepMesh_IncrementalMesh
from OCP.BRepTools import BRepTools
from OCP.IGESControl import IGESControl_Reader
from OCP.STEPControl import STEPControl_Reader
from OCP.StlAPI import StlAPI_Writer
from OCP.TopoDS import TopoDS_Shape
kind, source, target = sys.argv[1:]
if kind == "brep":
    shape = TopoDS_Shape()
    BRepTools.Read_s(shape, source, BRep_Builder())
else:
    reader = STEPControl_Reader() if kind == "step" else IGESControl_Reader()
    reader.ReadFile(source)
    reader.TransferRoots()
    shape = reader.OneShape()
box = Bnd_Box()
BRepBndLib.Add_s(shape, box, False)
BRepMesh_IncrementalMesh(shape, math.sqrt(box.SquareExtent()) / 1000, False, math.radians(20), True)
writer = StlAPI_Writer()
writer.ASCIIMode = False
writer.Write(shape, target)
"""


def bare_s(path: Path, kind: str) -> float:
    """Return the seconds of one bare process."""
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as folder:
        started = time.perf_counter()
        command = [sys.executable, "-c", BARE, kind, str(path), f"{folder}/made.stl"]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        return time.perf_counter() - started


async def ours_s(cad: Cad, path: Path, kind: str) -> float:
    """Return the seconds of one conversion; the start of the next process is not included, as between two jobs."""
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        folder = Path(name)
        source = folder / "source"
        shutil.copyfile(path, source)
        job = Job(
            source=source,
            source_format=kind,
            target_format="stl",
            folder=folder,
            options=CadOptions(),
            limits=Limits(),
            report=ignore_report,
        )
        started = time.perf_counter()
        await cad.convert(job)
        taken = time.perf_counter() - started
    await asyncio.sleep(2)  # until the next process has loaded its kernel
    return taken


async def measured(files: list[tuple[Path, str]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return pairs of seconds, ours and bare, per file; an unmeasured conversion before starts the process."""
    sandbox = await Sandbox.choose("auto")
    cad = Cad(sandbox, Meshes(sandbox))
    pairs: dict[str, list[tuple[float, float]]] = {path.name: [] for path, _ in files}
    try:
        await ours_s(cad, *files[0])
        for number in range(rounds):
            for path, kind in files:
                pairs[path.name].append((await ours_s(cad, path, kind), bare_s(path, kind)))
            print(f"  round {number + 1} of {rounds}")
    finally:
        await cad.aclose()
    return pairs


def picked(corpus: Path) -> list[tuple[Path, str]]:
    """Return every CAD model of the corpus with a surface, and its format; exits when there is none."""
    found = [(path, format_of_name(path.name)) for path in sorted((corpus / "3d_cad").glob("*"))]
    files = [(path, kind.name) for path, kind in found if kind is not None and path.stat().st_size > SMALLEST_BYTES]
    files = [(path, kind) for path, kind in files if "edge" not in path.name]
    return files or sys.exit(f"{corpus / '3d_cad'} contains no exact models")


def main() -> int:
    """Return 0 when the median ratio is within its limit; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder that contains 3d_cad")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pairs = asyncio.run(measured(picked(arguments.corpus), arguments.rounds))
    ratios = {name: statistics.median(ours / bare for ours, bare in taken) for name, taken in pairs.items()}
    title = f"Exact models to STL, median of {arguments.rounds} rounds"
    print_medians(title, ["ours, s", "bare, s", "ratio"], pairs, ratios)
    ratio = round(statistics.median(ratios.values()), 2)
    is_kept = verdict("ours / bare kernel", ratio, LIMIT)
    save_figures("engines_cad", {"seconds": pairs, "ratios": ratios, "ratio": ratio})
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
