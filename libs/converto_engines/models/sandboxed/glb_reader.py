"""Reads the triangles of a GLB where its nodes place them, with numpy alone, to check what larger programs made of it.

Assimp is no judge of GLB that holds lines as well: it writes them as broken triangles. What this reader does not know
(sparse or packed numbers, strips, skins) it says so, and then there is nothing to compare.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

_TRIANGLES = 4
_INDEX_TYPES = {5121: "u1", 5123: "<u2", 5125: "<u4"}
_FLOAT = 5126
_DEPTH = 64


def corners_of(path: str) -> Any | None:
    """Faces × 3 corners × 3 coordinates; None when it holds no triangles, or what this reader does not know."""
    import numpy as np  # noqa: PLC0415 - found only after the path was set

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
    """The description of a GLB and the bytes that it speaks of."""

    def __init__(self, told: dict[str, Any], body: bytes) -> None:
        self._told, self._body = told, body

    def triangles(self) -> Iterator[Any]:
        """Of each node of the scene that shows a mesh."""
        import numpy as np  # noqa: PLC0415

        scene = self._told["scenes"][self._told.get("scene", 0)]
        for number in scene["nodes"]:
            yield from self._below(number, np.eye(4), _DEPTH)

    def _below(self, number: int, above: Any, depth: int) -> Iterator[Any]:
        node = self._told["nodes"][number]
        if depth == 0 or "skin" in node:
            raise ValueError("nested too deep, or bent by bones")
        place = above @ _matrix(node)
        for part in self._told["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
            mode = part.get("mode", _TRIANGLES)
            if mode > _TRIANGLES:
                raise ValueError("strips and fans")
            if mode == _TRIANGLES:
                yield self._placed(part, place)
        for child in node.get("children") or ():
            yield from self._below(child, place, depth - 1)

    def _placed(self, part: dict[str, Any], place: Any) -> Any:
        import numpy as np  # noqa: PLC0415

        own = self._numbers(part["attributes"]["POSITION"], {_FLOAT: "<f4"}, 3)
        vertices = own.astype(float) @ place[:3, :3].T + place[:3, 3]
        if "indices" in part:
            order = self._numbers(part["indices"], _INDEX_TYPES, 1).ravel()
        else:
            order = np.arange(len(vertices))
        return vertices[order[: len(order) // 3 * 3]].reshape(-1, 3, 3)

    def _numbers(self, accessor: int, types: dict[int, str], width: int) -> Any:
        import numpy as np  # noqa: PLC0415

        entry = self._told["accessors"][accessor]
        if "sparse" in entry or entry.get("normalized"):
            raise ValueError("sparse or packed numbers")
        view = self._told["bufferViews"][entry["bufferView"]]
        kind = np.dtype((types[entry["componentType"]], (width,)))
        start, step = view.get("byteOffset", 0) + entry.get("byteOffset", 0), view.get("byteStride") or kind.itemsize
        raw = np.dtype({"names": ["own"], "formats": [kind], "itemsize": step})
        if start + step * (entry["count"] - 1) + kind.itemsize > len(self._body):
            raise ValueError("more numbers than bytes")
        # The last of numbers that stand apart may end before its step does.
        padded = self._body[start : start + step * entry["count"]].ljust(step * entry["count"], b"\0")
        return np.frombuffer(padded, raw, entry["count"])["own"]


def _matrix(node: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415

    if "matrix" in node:
        return np.array(node["matrix"], dtype=float).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    turned = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turned * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix
