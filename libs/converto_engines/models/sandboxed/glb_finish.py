"""Finishes what other programs wrote as GLB: surfaces of plastic, and one mesh for equal parts.

glTF's default surface is metal, which is drawn nearly black where nothing is mirrored in it.
"""

import json
import struct
from typing import Any

_ROUGHNESS = 0.6
_GREY = [0.6, 0.6, 0.6, 1.0]
"""Linear; what a screen shows as a light grey (203 of 255), which stands out from white."""


def finish_exact_model(path: str) -> None:
    """Rewrite the JSON of a GLB made from an exact model, which states a colour and nothing else about a surface."""
    gltf, body = _read(path)
    _make_matt(gltf)
    with_matt_surfaces(gltf)
    _share_equal_meshes(gltf, body)
    _write(path, gltf, body)


def finish_for_picture(path: str, output: str) -> None:
    """Write a copy whose surfaces without material are plastic, also coloured ones."""
    gltf, body = _read(path)
    with_matt_surfaces(gltf, also_coloured=True)
    _write(output, gltf, body)


def _read(path: str) -> tuple[dict[str, Any], bytes]:
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        whole = file.read()
    (length,) = struct.unpack_from("<I", whole, 12)
    return json.loads(whole[20 : 20 + length]), whole[28 + length :]


def _write(path: str, gltf: dict[str, Any], body: bytes) -> None:
    head = json.dumps(gltf, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 4)
    with open(path, "wb") as file:  # noqa: PTH123 -- pathlib costs time
        file.write(struct.pack("<4sIIII", b"glTF", 2, 28 + len(head) + len(body), len(head), 0x4E4F534A))
        file.write(head + struct.pack("<II", len(body), 0x004E4942))
        file.write(body)


def with_matt_surfaces(gltf: dict[str, Any], *, also_coloured: bool = False) -> None:
    """Give each surface without material one of grey plastic, or of white under the colours of its corners.

    Coloured ones usually stay without: some readers ignore the colours of corners where there is a material.
    """
    materials: list[dict[str, Any]] = gltf.setdefault("materials", [])
    added: dict[bool, int] = {}
    for part in (part for mesh in gltf.get("meshes") or () for part in mesh["primitives"]):
        is_coloured = "COLOR_0" in part["attributes"]
        if "material" in part or (is_coloured and not also_coloured):
            continue
        if is_coloured not in added:
            added[is_coloured] = len(materials)
            materials.append({"name": "plastic", "pbrMetallicRoughness": _plastic([1.0] * 4 if is_coloured else _GREY)})
        part["material"] = added[is_coloured]
    if not materials:
        del gltf["materials"]


def _make_matt(gltf: dict[str, Any]) -> None:
    for material in gltf.get("materials") or ():
        surface = material.setdefault("pbrMetallicRoughness", {})
        surface.update(_plastic(surface.get("baseColorFactor", [1.0] * 4)))


def _plastic(colour: list[float]) -> dict[str, Any]:
    return {"baseColorFactor": colour, "metallicFactor": 0.0, "roughnessFactor": _ROUGHNESS}


def _share_equal_meshes(gltf: dict[str, Any], body: bytes) -> None:
    """Let all nodes of equal parts use one mesh, and leave out the others."""
    kept: dict[Any, int] = {}
    meshes: list[dict[str, Any]] = []
    place: list[int] = []
    for mesh in gltf.get("meshes") or ():
        contents = tuple(_contents(part, gltf, body) for part in mesh["primitives"])
        if contents not in kept:
            kept[contents] = len(meshes)
            meshes.append(mesh)
        place.append(kept[contents])
    for node in gltf.get("nodes") or ():
        if "mesh" in node:
            node["mesh"] = place[node["mesh"]]
    if meshes:
        gltf["meshes"] = meshes


def _contents(part: dict[str, Any], gltf: dict[str, Any], body: bytes) -> tuple[Any, ...]:
    accessors = {**part["attributes"], **({"indices": part["indices"]} if "indices" in part else {})}
    numbers = [(name, _numbers(number, gltf, body)) for name, number in sorted(accessors.items())]
    return part.get("material"), part.get("mode"), *numbers


def _numbers(number: int, gltf: dict[str, Any], body: bytes) -> tuple[Any, ...]:
    """Return the bytes of an accessor; the kernel writes those of all parts one after the other into one view."""
    accessor = gltf["accessors"][number]
    view = gltf["bufferViews"][accessor["bufferView"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    row_bytes = view.get("byteStride") or _BYTES[accessor["componentType"]] * _WIDTHS[accessor["type"]]
    return accessor["componentType"], accessor["type"], body[start : start + accessor["count"] * row_bytes]


_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
