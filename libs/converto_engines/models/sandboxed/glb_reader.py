"""Reads the triangles of a GLB in world coordinates with numpy alone, to verify what larger programs wrote.

assimp cannot verify a GLB with lines, which it exports as broken triangles. Files with features this reader does not
support (sparse accessors, instances, skins) are not verified.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

_TRIANGLES, _STRIP = 4, 5
_INDEX_TYPES = {5121: "u1", 5123: "<u2", 5125: "<u4"}
_POSITION_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5126: "<f4"}
_DEPTH = 64


def corners_of(path: str) -> Any | None:
    """Return faces × 3 corners × 3 coordinates; None without triangles or with unsupported features."""
    import numpy as np  # noqa: PLC0415 -- importable only once `packages` are on the path

    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        body = file.read()
    (length,) = struct.unpack_from("<I", body, 12)
    try:
        model = _Model(json.loads(body[20 : 20 + length]), body[28 + length :])
        placed = list(model.triangles())
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return np.concatenate(placed) if placed else None


class _Model:
    """The JSON of a GLB and its binary chunk."""

    def __init__(self, gltf: dict[str, Any], body: bytes) -> None:
        self._gltf, self._body = gltf, body

    def triangles(self) -> Iterator[Any]:
        """Yield the triangles of each mesh in the scene."""
        import numpy as np  # noqa: PLC0415

        scene = self._gltf["scenes"][self._gltf.get("scene", 0)]
        for number in scene["nodes"]:
            yield from self._triangles_of_node(number, np.eye(4), _DEPTH)

    def _triangles_of_node(self, number: int, parent: Any, depth: int) -> Iterator[Any]:
        node = self._gltf["nodes"][number]
        if depth == 0 or "skin" in node or "EXT_mesh_gpu_instancing" in (node.get("extensions") or ()):
            raise ValueError("nested too deeply, with a skin, or with instances")
        transform = parent @ _matrix(node)
        for part in self._gltf["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
            if part.get("mode", _TRIANGLES) >= _TRIANGLES:
                yield self._corners(part, transform)
        for child in node.get("children") or ():
            yield from self._triangles_of_node(child, transform, depth - 1)

    def _corners(self, part: dict[str, Any], transform: Any) -> Any:
        import numpy as np  # noqa: PLC0415

        own = self._numbers(part["attributes"]["POSITION"], _POSITION_TYPES, 3)
        vertices = own.astype(float) @ transform[:3, :3].T + transform[:3, 3]
        if "indices" in part:
            order = self._numbers(part["indices"], _INDEX_TYPES, 1).ravel()
        else:
            order = np.arange(len(vertices))
        corners = vertices[_whole_triangles(order, part.get("mode", _TRIANGLES))]
        return corners[:, ::-1] if np.linalg.det(transform[:3, :3]) < 0 else corners  # a mirror turns the surface

    def _numbers(self, accessor: int, types: dict[int, str], width: int) -> Any:
        import numpy as np  # noqa: PLC0415

        entry = self._gltf["accessors"][accessor]
        if "sparse" in entry:
            raise ValueError("sparse accessor")
        view = self._gltf["bufferViews"][entry["bufferView"]]
        kind = np.dtype((types[entry["componentType"]], (width,)))
        start, step = view.get("byteOffset", 0) + entry.get("byteOffset", 0), view.get("byteStride") or kind.itemsize
        raw = np.dtype({"names": ["own"], "formats": [kind], "itemsize": step})
        if start + step * (entry["count"] - 1) + kind.itemsize > len(self._body):
            raise ValueError("accessor beyond the end of the buffer")
        # The last element of a strided view may be shorter than its stride.
        padded = self._body[start : start + step * entry["count"]].ljust(step * entry["count"], b"\0")
        own = np.frombuffer(padded, raw, entry["count"])["own"]
        if entry.get("normalized") and kind.base.kind != "f":
            return np.maximum(own / np.iinfo(kind.base).max, -1.0)
        return own


def _whole_triangles(order: Any, mode: int) -> Any:
    """Return faces × 3 places of corners in a list, strip or fan."""
    import numpy as np  # noqa: PLC0415

    if mode == _TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    faces = np.column_stack(
        [order[:-2] if mode == _STRIP else np.repeat(order[:1], len(order) - 2), order[1:-1], order[2:]]
    )
    if mode == _STRIP:
        faces[1::2] = faces[1::2, ::-1]
    return faces


def _matrix(node: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415

    if "matrix" in node:
        return np.array(node["matrix"], dtype=float).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix
