"""Converts an exact model to a mesh or another exact format with OpenCASCADE; one process serves one model."""

import functools
import importlib
import math
import sys
from typing import Any

from converto_engines.models.sandboxed import figures
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, reserve_stdout, serve_stdin

MM_OF = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
_EXACT = ("step", "iges", "brep")
_EXACT_TOLERANCE = 1e-4
"""Relative change of area and volume allowed when an exact model is written in another exact format."""


def main() -> None:
    """Load the kernel ahead of the request, because loading takes longer than converting most parts."""
    reserve_stdout()
    sys.path[:0] = sys.argv[1:]
    importlib.import_module("numpy")  # ahead of the request, like the kernel
    serve_stdin(functools.partial(_serve, importlib.import_module("converto_engines.models.sandboxed.cad_files")))


def _serve(kernel: Any, request: dict[str, Any]) -> dict[str, Any]:
    return {"version": kernel.version()} if "ask" in request else convert(kernel, request)


def convert(kernel: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Read the model, mesh it if the target is a mesh, write it; return the exact and the written figures."""
    report_progress(5, "reading the model")
    target = request["target_format"]
    model = kernel.read(request["source"], request["source_format"], with_names=target in {"glb", "step", "iges"})
    if target in _EXACT:
        return _write_exact(kernel, model, request)
    exact = model.figures()
    if exact["surfaces"] == 0:
        return {"surfaces": 0}
    report_progress(30, "meshing the surface")
    deflection = _deflection(model.size(), request["options"])
    faces = model.mesh(deflection, math.radians(request["options"]["angle"]))
    if faces > request["faces"]:
        message = (
            f"The mesh would have {faces:,} faces; at most {request['faces']:,} are allowed. Choose a coarser tolerance"
        )
        raise Refused("too_large", message)
    report_progress(80, "writing the model")
    result = _write_mesh(model, request) if faces else None
    return {"surfaces": exact["surfaces"], "faces": faces, "exact": exact, "deflection": deflection, "result": result}


def _deflection(size: float, options: dict[str, Any]) -> float:
    tolerance: float | None = options["tolerance"]
    return tolerance if tolerance is not None else size * float(options["relative_tolerance"]) / 100


def _write_mesh(model: Any, request: dict[str, Any]) -> dict[str, Any] | None:
    """Write the mesh; return the figures of a binary STL, None for formats measured by another program."""
    options, path = request["options"], request["output"]
    if request["target_format"] == "glb":
        model.write_glb(path)
        return None
    is_ascii = options["encoding"] == "ascii" and request["target_format"] == "stl"
    model.write_stl(path, 1.0 / MM_OF[options["units"] or "mm"], is_ascii=is_ascii)
    return None if is_ascii else figures.figures_of_stl(path)


def _write_exact(kernel: Any, model: Any, request: dict[str, Any]) -> dict[str, Any]:
    exact, target = model.figures(), request["target_format"]
    report_progress(50, "writing the model")
    factor = model.write_exact(request["output"], target, request["options"]["units"] or "mm")
    report_progress(80, "checking the model")
    try:
        again = kernel.read(request["output"], target, with_names=False)
    except Refused as error:
        raise Refused("output", "The result cannot be read again") from error
    _check_equal(exact, again.figures(), factor)
    return {"surfaces": exact["surfaces"], "faces": None}


def _check_equal(exact: dict[str, Any], written: dict[str, Any], factor: float) -> None:
    if exact["surfaces"] != written["surfaces"]:
        raise Refused("output", f"The result has {written['surfaces']:,} surfaces instead of {exact['surfaces']:,}")
    if not math.isclose(written["area"], exact["area"] * factor**2, rel_tol=_EXACT_TOLERANCE, abs_tol=1e-9):
        raise Refused("output", f"The result's surface is {written['area']:g} instead of {exact['area'] * factor**2:g}")
    noise = 1e-6 * exact["area"] * exact["size"] * factor**3
    if exact["solids"] and not math.isclose(
        abs(written["volume"]), abs(exact["volume"]) * factor**3, rel_tol=_EXACT_TOLERANCE, abs_tol=noise
    ):
        raise Refused("output", f"The result's volume is {written['volume']:g} instead of {exact['volume']:g}")
