"""Reads a PLY of triangles as this house writes it, binary or text, with numpy alone, to check what was written.

Assimp is no judge of binary PLY: it loses its place when the first coordinate begins with the byte of a blank.
"""

from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused

_TYPES = {"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8", "uchar": "u1", "uint8": "u1"}
_HEADER_BYTES = 16 * 1024


def corners_of(path: str) -> Any:
    """Faces × 3 corners × 3 coordinates; refused when the file is not what its header says."""
    import numpy as np  # noqa: PLC0415 - found only after the path was set

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
        sides, places = faces[:, 0], faces[:, 1:]
    else:
        record, face = np.dtype(fields), np.dtype([("sides", "u1"), ("places", "<i4", (3,))])
        end = start + record.itemsize * counts["vertex"]
        if len(body) != end + face.itemsize * counts["face"]:
            raise Refused("output", "The result is not a whole PLY file")
        table = np.frombuffer(body, record, counts["vertex"], start)
        vertices = np.stack([table[axis] for axis in ("x", "y", "z")], axis=1)
        read = np.frombuffer(body, face, counts["face"], end)
        sides, places = read["sides"], read["places"]
    if len(vertices) != counts["vertex"] or len(places) != counts["face"] or (sides != 3).any():
        raise Refused("output", "The result is not a whole PLY file")
    return vertices[places]
