"""Finds the edges of a model that a draughtsman would draw, and writes them as lines of a GLB."""

import json
import math
import struct
from typing import Any

_CREASE_COSINE = math.cos(math.radians(42))
"""Sharper than between the facets of a curve at the default tolerance, less than a chamfer."""
_MAX_FACES = 400_000
"""Larger models are scans, whose edges are noise; finding them would take seconds."""
_WELD_SHARE = 1e-5
"""Corners nearer than this share of the size are one: rounding moves those at the seam of a round surface apart."""
_MAX_SHARE = 0.6
_FEW_FACES = 2000
"""Above so many faces a model of which most edges are sharp is rough, not angular: lines would make it black."""
_DARK = [0.02, 0.02, 0.02, 1.0]


def edges_of(corners: Any) -> Any:
    """Return count × 2 ends × 3 coordinates of the sharp and the open edges of faces × 3 corners × 3 coordinates."""
    import numpy as np  # noqa: PLC0415 -- importable only once `packages` are on the path

    if not 0 < len(corners) <= _MAX_FACES:
        return np.empty((0, 2, 3))
    points = corners.reshape(-1, 3).astype(float)
    step = max(float(np.ptp(points, axis=0).max(initial=0.0)) * _WELD_SHARE, 1e-300)
    places = np.ascontiguousarray(np.rint((points - points.min(axis=0)) / step).astype(np.int64))
    _, first, place = np.unique(places.view("V24").ravel(), return_index=True, return_inverse=True)
    faces = place.reshape(-1, 3)
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    vertices = points[first]
    normals = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    order = np.lexsort((sides[:, 1], sides[:, 0]))
    sides, owners = sides[order], np.repeat(np.arange(len(faces)), 3)[order]
    starts = np.flatnonzero(np.r_[True, (sides[1:] != sides[:-1]).any(axis=1)]) if len(sides) else np.empty(0, int)
    counts = np.diff(np.r_[starts, len(sides)])
    second = np.minimum(starts + 1, max(len(sides) - 1, 0))
    bends = np.einsum("ij,ij->i", normals[owners[starts]], normals[owners[second]])
    is_drawn = (counts != 2) | (bends < _CREASE_COSINE)
    if len(faces) > _FEW_FACES and is_drawn.mean() > _MAX_SHARE:
        return np.empty((0, 2, 3))
    return vertices[sides[starts[is_drawn]]]


def write(path: str, edges: Any) -> None:
    """Write edges (count × 2 × 3) as dark unlit lines of a GLB."""
    import numpy as np  # noqa: PLC0415

    points = edges.reshape(-1, 3).astype(np.float32)
    body = points.tobytes()
    position = {"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"}
    position |= {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
    gltf = {
        "asset": {"version": "2.0"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 1, "material": 0}]}],
        "materials": [
            {
                "pbrMetallicRoughness": {"baseColorFactor": _DARK, "metallicFactor": 0.0},
                "extensions": {"KHR_materials_unlit": {}},
            }
        ],
        "accessors": [position],
        "bufferViews": [{"buffer": 0, "byteLength": len(body)}],
        "buffers": [{"byteLength": len(body)}],
    }
    head = json.dumps(gltf).encode()
    head += b" " * (-len(head) % 4)
    with open(path, "wb") as file:  # noqa: PTH123 -- pathlib costs time
        file.write(struct.pack("<4sIIII", b"glTF", 2, 28 + len(head) + len(body), len(head), 0x4E4F534A))
        file.write(head + struct.pack("<II", len(body), 0x004E4942) + body)
