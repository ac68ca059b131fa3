"""Measures meshes: faces, bounding box, area and volume of binary STL, PLY and GLB, read with numpy alone.

It verifies what larger programs wrote, so it must not share code with them. As a program it measures the files in a
request's `sources`; as a module it needs numpy on the path.
"""

import os
import sys
from typing import Any

from converto_engines.models.sandboxed import glb_reader, ply_reader
from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument

HEADER_BYTES, FACE_BYTES = 84, 50
_FACES_AT_ONCE = 1_000_000
"""A model of twenty million faces is measured in 150 MB of memory."""


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Measure the `(path, format)` pairs in `sources`; None for a GLB with unsupported features."""
    sys.path[:0] = request["packages"]
    return {"figures": [_figures_of(path, kind) for path, kind in request["sources"]]}


def _figures_of(path: str, kind: str) -> dict[str, Any] | None:
    if kind == "stl":
        return figures_of_stl(path)
    corners = ply_reader.corners_of(path) if kind == "ply" else glb_reader.corners_of(path)
    return None if corners is None else figures(corners)


def figures_of_stl(path: str) -> dict[str, Any]:
    """Measure a binary STL; refused when its size does not match its number of faces."""
    import numpy as np  # noqa: PLC0415 -- importable only once `packages` are on the path

    faces = _face_count(path)
    if faces == 0:
        return {"faces": 0, "degenerate": 0, "is_finite": True, "box": None, "area": 0.0, "volume": 0.0}
    record = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    return figures(np.memmap(path, dtype=record, mode="r", offset=HEADER_BYTES, shape=(faces,))["corners"])


def _face_count(path: str) -> int:
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        header = file.read(HEADER_BYTES)
        size = file.seek(0, os.SEEK_END)
    count = int.from_bytes(header[80:HEADER_BYTES], "little")
    if len(header) < HEADER_BYTES or size != HEADER_BYTES + FACE_BYTES * count:
        raise Refused("output", "The result is not a complete STL file")
    return count


def figures(corners: Any) -> dict[str, Any]:
    """Measure an array of faces × 3 corners × 3 coordinates.

    The volume is summed from the centre of the box, because far from the origin the terms would cancel each other.
    """
    import numpy as np  # noqa: PLC0415

    parts = [slice(start, start + _FACES_AT_ONCE) for start in range(0, len(corners), _FACES_AT_ONCE)]
    low = np.min([corners[part].min(axis=(0, 1)) for part in parts], axis=0).astype(float)
    high = np.max([corners[part].max(axis=(0, 1)) for part in parts], axis=0).astype(float)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        none: dict[str, Any] = {"box": None, "area": 0.0, "volume": 0.0, "degenerate": 0}
        return {"faces": len(corners), "is_finite": False, **none}
    area = volume = 0.0
    degenerate = 0
    for part in parts:
        own = corners[part].astype(float) - (low + high) / 2
        cross = np.cross(own[:, 1] - own[:, 0], own[:, 2] - own[:, 0])
        areas = np.linalg.norm(cross, axis=1) / 2
        area += float(areas.sum())
        volume += float(np.einsum("ij,ij->", own[:, 0], cross)) / 6
        degenerate += int((areas == 0).sum())
    box = [low.tolist(), high.tolist()]
    return {
        "faces": len(corners),
        "is_finite": True,
        "box": box,
        "area": area,
        "volume": volume,
        "degenerate": degenerate,
    }


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(measure)
