"""Looks into a glTF or GLB before it is read: what it refers to outside of itself, and how large it says it is.

Standard library only; it reads the description, not the meshes.
"""

import json
import os
import struct
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused

_LARGEST_DESCRIPTION_BYTES = 512 * 1024**2
_PACKED = frozenset({"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression"})


def description(path: str, *, is_binary: bool) -> dict[str, Any]:
    """The JSON of a glTF file; refused when it is damaged or not all there."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        size = os.fstat(file.fileno()).st_size
        length = _length_in_binary(file.read(20), size) if is_binary else size
        if length > _LARGEST_DESCRIPTION_BYTES:
            raise Refused("too_large", "The model's description is larger than is allowed")
        body = file.read(length)
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("corrupt", "") from error
    if not isinstance(told, dict):
        raise Refused("corrupt", "")
    return told


def _length_in_binary(header: bytes, size: int) -> int:
    if len(header) < 20:
        raise Refused("corrupt", "")
    _, version, told_size, length = struct.unpack_from("<4sIII", header)
    if version != 2:
        raise Refused(
            "corrupt", f"The model is glTF version {version}; only version 2 can be read. Please export it anew"
        )
    if told_size > size:
        raise Refused("corrupt", "The end of the model is missing. Please upload the complete file again")
    return int(length)


def foreign_parts(told: dict[str, Any]) -> int:
    """How many buffers and pictures lie in other files or on other machines."""
    lists = [told.get(key) for key in ("buffers", "images")]
    parts = [entry for part in lists if isinstance(part, list) for entry in part if isinstance(entry, dict)]
    return sum(1 for entry in parts if not str(entry.get("uri", "data:")).startswith("data:"))


def check(told: dict[str, Any], most_faces: int) -> None:
    """Refuse what says that it is too large, and compression that nothing here can undo."""
    if packed := _PACKED & {str(name) for name in told.get("extensionsRequired") or ()}:
        name = ", ".join(sorted(packed))
        raise Refused("corrupt", f"The model is compressed with {name}, which cannot be read. Please export it without")
    try:
        largest = max((int(entry.get("count", 0)) for entry in told.get("accessors") or ()), default=0)
        faces = _faces(told)
    except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise Refused("corrupt", "") from error
    if max(faces, largest // 3) > most_faces:
        shown = max(faces, largest // 3)
        raise Refused("too_large", f"The model has {shown:,} faces; {most_faces:,} are allowed")


def _faces(told: dict[str, Any]) -> int:
    """Faces of all meshes as often as nodes show them."""
    accessors, meshes = told.get("accessors") or (), told.get("meshes") or ()
    of_mesh = []
    for mesh in meshes:
        corners = [
            accessors[part.get("indices", part["attributes"]["POSITION"])]["count"]
            for part in mesh["primitives"]
            if part.get("mode", 4) >= 4
        ]
        of_mesh.append(sum(corners) // 3)
    return sum(of_mesh[node["mesh"]] for node in told.get("nodes") or () if "mesh" in node)
