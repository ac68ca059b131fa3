"""Reads a PLY of triangles as our programs write it, binary or ASCII, with numpy alone, to verify what they wrote.

assimp cannot verify binary PLY: it misreads files whose first coordinate begins with the byte of a space.
"""

from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused

_TYPES = {"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8", "uchar": "u1", "uint8": "u1"}
_HEADER_BYTES = 16 * 1024


def corners_of(path: str) -> Any:
    """Return faces × 3 corners × 3 coordinates; refused when the file does not match its header."""
    import numpy as np  # noqa: PLC0415 -- importable only once `packages` are on the path

    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        body = file.read()
    start = body.find(b"end_header\n", 0, _HEADER_BYTES) + len(b"end_header\n")
    lines = [line.split() for line in body[:start].decode("ascii", "replace").splitlines()]
    counts = {line[1]: int(line[2]) for line in lines if line[:1] == ["element"]}
    fields = [(line[2], _TYPES[line[1]]) for line in lines if line[:1] == ["property"] and line[1] != "list"]
    if ["format", "ascii", "1.0"] in lines:
        rows = body[start:].split(b"\n")
        vertices = np.array([row.split()[:3] for row in rows[: counts["vertex"]]], dtype=float)
        faces = np.array([row.split()[:4] for row in rows[counts["vertex"] :][: counts["face"]]], dtype=np.int64)
        sides, corners = faces[:, 0], faces[:, 1:]
    else:
        record, face = np.dtype(fields), np.dtype([("sides", "u1"), ("corners", "<i4", (3,))])
        end = start + record.itemsize * counts["vertex"]
        if len(body) != end + face.itemsize * counts["face"]:
            raise Refused("output", "The result is not a complete PLY file")
        table = np.frombuffer(body, record, counts["vertex"], start)
        vertices = np.stack([table[axis] for axis in ("x", "y", "z")], axis=1)
        read = np.frombuffer(body, face, counts["face"], end)
        sides, corners = read["sides"], read["corners"]
    if len(vertices) != counts["vertex"] or len(corners) != counts["face"] or (sides != 3).any():
        raise Refused("output", "The result is not a complete PLY file")
    return vertices[corners]
