"""Checks the JSON of a glTF or GLB before its meshes are read: external references, declared size, compression."""

import json
import os
import struct
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused

_MAX_JSON_BYTES = 512 * 1024**2
_COMPRESSIONS = frozenset({"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression"})


def description(path: str, *, is_binary: bool) -> dict[str, Any]:
    """Return the JSON of a glTF file; refused when it is damaged or incomplete."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        size = os.fstat(file.fileno()).st_size
        length = _json_length(file.read(20), size) if is_binary else size
        if length > _MAX_JSON_BYTES:
            raise Refused("too_large", f"The JSON of the model is larger than {_MAX_JSON_BYTES >> 20} MB")
        body = file.read(length)
    try:
        gltf = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("corrupt", "") from error
    if not isinstance(gltf, dict):
        raise Refused("corrupt", "")
    return gltf


def _json_length(header: bytes, size: int) -> int:
    if len(header) < 20:
        raise Refused("corrupt", "")
    _, version, declared_bytes, length = struct.unpack_from("<4sIII", header)
    if version != 2:
        raise Refused(
            "corrupt", f"The model is glTF version {version}, but only version 2 is supported. Export it again"
        )
    if declared_bytes > size:
        raise Refused("corrupt", "The end of the model is missing. Upload the complete file")
    return int(length)


def external_references(gltf: dict[str, Any]) -> int:
    """Count the buffers and images in other files or on other hosts."""
    lists = [gltf.get(key) for key in ("buffers", "images")]
    parts = [entry for part in lists if isinstance(part, list) for entry in part if isinstance(entry, dict)]
    return sum(1 for entry in parts if not str(entry.get("uri", "data:")).startswith("data:"))


def check(gltf: dict[str, Any], max_faces: int) -> None:
    """Refuse a model that declares too many faces or an unsupported compression."""
    if compressions := _COMPRESSIONS & {str(name) for name in gltf.get("extensionsRequired") or ()}:
        name = ", ".join(sorted(compressions))
        raise Refused(
            "corrupt", f"The model is compressed with {name}, which is not supported. Export it without compression"
        )
    try:
        largest = max((int(entry.get("count", 0)) for entry in gltf.get("accessors") or ()), default=0)
        faces = _faces(gltf)
    except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise Refused("corrupt", "") from error
    if max(faces, largest // 3) > max_faces:
        count = max(faces, largest // 3)
        raise Refused("too_large", f"The model has {count:,} faces; at most {max_faces:,} are allowed")


def _faces(gltf: dict[str, Any]) -> int:
    """Count the faces of all meshes, once per node that uses them."""
    accessors, meshes = gltf.get("accessors") or (), gltf.get("meshes") or ()
    of_mesh = []
    for mesh in meshes:
        corners = [
            accessors[part.get("indices", part["attributes"]["POSITION"])]["count"]
            for part in mesh["primitives"]
            if part.get("mode", 4) >= 4
        ]
        of_mesh.append(sum(corners) // 3)
    return sum(of_mesh[node["mesh"]] for node in gltf.get("nodes") or () if "mesh" in node)
