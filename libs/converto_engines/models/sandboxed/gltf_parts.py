"""Checks the JSON of a glTF or GLB before its meshes are read: external references, declared size, extensions."""

import json
import os
import struct
from typing import Any

from converto_engines.models.sandboxed.unsupported import Unsupported
from converto_engines.runtime.sandboxed.protocol import Refused

_MAX_JSON_BYTES = 512 * 1024**2
INSTANCES = "EXT_mesh_gpu_instancing"
_HANDLED = frozenset({INSTANCES, "KHR_mesh_quantization"})
_LOOKS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "MSFT_texture_", "KHR_lights_", "EXT_lights_", "KHR_xmp")
"""Beginnings of extensions that change how a surface looks, not where it is."""
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
        raise Unsupported(f"The model is glTF version {version}, but only version 2 is supported. Export it again")
    if declared_bytes > size:
        raise Refused("corrupt", "The end of the model is missing. Upload the complete file")
    return int(length)


def external_buffers(gltf: dict[str, Any]) -> int:
    """Count the buffers in other files or on other hosts, without which there is no geometry."""
    return len(_external(gltf, "buffers"))


def missing_textures(gltf: dict[str, Any]) -> list[str]:
    """Return the names of images in other files or on other hosts, each once, in their order."""
    names = [uri.replace("\\", "/").rpartition("/")[2] for uri in _external(gltf, "images")]
    printable = ["".join(character for character in name if character.isprintable())[:60] for name in names]
    return list(dict.fromkeys(name or "an image" for name in printable))


def _external(gltf: dict[str, Any], key: str) -> list[str]:
    entries = gltf.get(key)
    listed = entries if isinstance(entries, list) else []
    uris = [entry.get("uri", "data:") for entry in listed if isinstance(entry, dict)]
    return [str(uri) for uri in uris if not str(uri).startswith("data:")]


def lost_looks(gltf: dict[str, Any]) -> list[str]:
    """Return the extensions for looks that the model requires."""
    return [name for name in _required(gltf) if name.startswith(_LOOKS)]


def _required(gltf: dict[str, Any]) -> list[str]:
    names = gltf.get("extensionsRequired")
    return sorted({str(name) for name in names}) if isinstance(names, list) else []


def check(gltf: dict[str, Any], max_faces: int) -> None:
    """Refuse a model that declares too many faces; raises `Unsupported` for one that requires unknown extensions."""
    unknown = [name for name in _required(gltf) if name not in _HANDLED and not name.startswith(_LOOKS)]
    if unknown:
        name = ", ".join(unknown)[:200]
        if _COMPRESSIONS.issuperset(unknown):
            raise Unsupported(
                f"The model is compressed with {name}, which is not supported. Export it without compression"
            )
        raise Unsupported(f"The model requires the glTF extension {name}, which is not supported. Export it without")
    try:
        largest = max((int(entry.get("count", 0)) for entry in gltf.get("accessors") or ()), default=0)
        faces = _faces(gltf)
    except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise Refused("corrupt", "") from error
    if max(faces, largest // 3) > max_faces:
        count = max(faces, largest // 3)
        raise Refused("too_large", f"The model has {count:,} faces; at most {max_faces:,} are allowed")


def _faces(gltf: dict[str, Any]) -> int:
    """Count the faces of all meshes, once per node and instance that uses them."""
    accessors = gltf.get("accessors") or ()
    of_mesh = [sum(_faces_of(part, accessors) for part in mesh["primitives"]) for mesh in gltf.get("meshes") or ()]
    nodes = [node for node in gltf.get("nodes") or () if "mesh" in node]
    return sum(of_mesh[node["mesh"]] * _instance_count(node, accessors) for node in nodes)


def _faces_of(part: dict[str, Any], accessors: Any) -> int:
    mode, corners = part.get("mode", 4), accessors[part.get("indices", part["attributes"]["POSITION"])]["count"]
    return int(corners // 3 if mode == 4 else max(corners - 2, 0) if mode > 4 else 0)


def _instance_count(node: dict[str, Any], accessors: Any) -> int:
    instances = (node.get("extensions") or {}).get(INSTANCES)
    if instances is None:
        return 1
    count = max((int(accessors[number]["count"]) for number in instances["attributes"].values()), default=0)
    if count > _MAX_INSTANCES:
        raise Refused("too_large", f"The model repeats a part {count:,} times; at most {_MAX_INSTANCES:,} are allowed")
    return count


_MAX_INSTANCES = 100_000
