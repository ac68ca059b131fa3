"""Rewrites a glTF model as a GLB of plain triangles, because trimesh reads some features of glTF wrongly or not at all.

It takes integers for coordinates, ignores sparse changes and instances, skips fans, and loses what hangs on a camera or
on lines.
"""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from converto_engines.models.sandboxed import gltf_parts
from converto_engines.runtime.sandboxed.protocol import Refused

_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_UBYTE, _UINT, _FLOAT = 5121, 5125, 5126
_LINES, _TRIANGLES, _STRIP, _FAN = 1, 4, 5, 6
_MEASURED = ("POSITION", "NORMAL", "TEXCOORD_0")
"""Attributes that trimesh reads as numbers of their own unit, so they must be floats."""


def needs_rewriting(gltf: dict[str, Any]) -> bool:
    """Return whether the model uses a feature that trimesh reads wrongly; refused when its JSON is damaged."""
    try:
        return _has_special_parts(gltf)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Refused("corrupt", "") from error


def _has_special_parts(gltf: dict[str, Any]) -> bool:
    if any("sparse" in entry for entry in gltf.get("accessors") or ()):
        return True
    if any("camera" in node or gltf_parts.INSTANCES in _extensions(node) for node in gltf.get("nodes") or ()):
        return True
    return any(_is_special(part, gltf["accessors"]) for mesh in gltf.get("meshes") or () for part in mesh["primitives"])


def _is_special(part: dict[str, Any], accessors: list[dict[str, Any]]) -> bool:
    attributes = part["attributes"]
    measured = [accessors[attributes[name]] for name in _MEASURED if name in attributes]
    colour = accessors[attributes["COLOR_0"]] if "COLOR_0" in attributes else None
    return (
        part.get("mode", _TRIANGLES) not in {0, _LINES, _TRIANGLES}
        or any(entry["componentType"] != _FLOAT for entry in measured)
        or (colour is not None and (colour["componentType"], colour["type"]) != (_UBYTE, "VEC4"))
    )


def rewrite(gltf: dict[str, Any], source: str, output: str, *, keeps_materials: bool) -> None:
    """Write the model of `source`, whose JSON is `gltf`, as a plain GLB; refused when its numbers are damaged.

    Without `keeps_materials` coloured triangles get no material, so that the colours are not darkened.
    """
    try:
        body = _Rewriter(gltf, _buffers(gltf, source)).rewritten(keeps_materials=keeps_materials)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise Refused("corrupt", "") from error
    head = json.dumps(gltf).encode()
    head += b" " * (-len(head) % 4)
    with open(output, "wb") as file:  # noqa: PTH123 -- pathlib costs time
        file.write(struct.pack("<4sIIII", b"glTF", 2, 28 + len(head) + len(body), len(head), 0x4E4F534A))
        file.write(head + struct.pack("<II", len(body), 0x004E4942))
        file.write(body)


def _buffers(gltf: dict[str, Any], source: str) -> list[bytes]:
    buffers = []
    for entry in gltf.get("buffers") or ():
        uri = entry.get("uri")
        buffers.append(_binary_chunk(source) if uri is None else base64.b64decode(uri.partition(",")[2]))
    return buffers


def _binary_chunk(source: str) -> bytes:
    with open(source, "rb") as file:  # noqa: PTH123
        (length,) = struct.unpack_from("<I", file.read(16), 12)
        file.seek(28 + length)
        return file.read()


def _extensions(entry: dict[str, Any]) -> dict[str, Any]:
    return entry.get("extensions") or {}


class _Rewriter:
    """Rewrites the JSON in place and collects the new buffer."""

    def __init__(self, gltf: dict[str, Any], buffers: list[bytes]) -> None:
        self._gltf, self._buffers = gltf, buffers
        self._old_views, self._old_accessors = gltf.get("bufferViews") or [], gltf.get("accessors") or []
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._written: dict[tuple[int, str], int] = {}

    def rewritten(self, *, keeps_materials: bool) -> bytes:
        """Return the new buffer of the model."""
        for mesh in self._gltf.get("meshes") or ():
            triangles = [part for part in mesh["primitives"] if part.get("mode", _TRIANGLES) >= _TRIANGLES]
            mesh["primitives"] = triangles
            for part in triangles:
                self._rewrite_triangles(part)
                if "COLOR_0" in part["attributes"] and not keeps_materials:
                    part.pop("material", None)
        for node in list(self._gltf.get("nodes") or ()):
            self._rewrite_node(node)
        for image in self._gltf.get("images") or ():
            if "bufferView" in image:
                image["bufferView"] = self._append(self._view(image["bufferView"]))
        for name in ("animations", "skins", "cameras", "extensionsRequired"):
            self._gltf.pop(name, None)
        self._gltf.update(bufferViews=self._views, accessors=self._accessors, buffers=[{"byteLength": self._size}])
        return b"".join(self._pieces)

    def _rewrite_triangles(self, part: dict[str, Any]) -> None:
        attributes = part["attributes"]
        count, mode = self._old_accessors[attributes["POSITION"]]["count"], part.pop("mode", _TRIANGLES)
        part["attributes"] = {
            name: self._attribute(name, number)
            for name, number in attributes.items()
            if name in {*_MEASURED, "COLOR_0"} or name.startswith("_")
        }
        part.pop("targets", None)
        part.pop("extensions", None)
        if mode != _TRIANGLES or "indices" in part:
            part["indices"] = self._indices(part.get("indices"), mode, count)

    def _attribute(self, name: str, number: int) -> int:
        import numpy as np  # noqa: PLC0415 -- importable only once `packages` are on the path

        kind = "colour" if name == "COLOR_0" else "number"
        if (number, kind) not in self._written:
            numbers = self._numbers(number)
            as_written = _colours(numbers) if kind == "colour" else numbers.astype(np.float32)
            self._written[number, kind] = self._accessor(as_written, f"VEC{as_written.shape[1]}")
            if kind == "colour":
                self._accessors[-1]["normalized"] = True
            if name == "POSITION":
                self._accessors[-1].update(min=as_written.min(axis=0).tolist(), max=as_written.max(axis=0).tolist())
        return self._written[number, kind]

    def _indices(self, number: int | None, mode: int, count: int) -> int:
        import numpy as np  # noqa: PLC0415

        key = (-1 - count if number is None else number, f"mode {mode}")
        if key not in self._written:
            order = np.arange(count) if number is None else self._numbers(number).ravel()
            self._written[key] = self._accessor(_triangles(order, mode).astype(np.uint32).reshape(-1, 1), "SCALAR")
        return self._written[key]

    def _rewrite_node(self, node: dict[str, Any]) -> None:
        node.pop("camera", None)
        instances = node.pop("extensions", {}).get(gltf_parts.INSTANCES)
        if "mesh" not in node:
            return
        if not self._gltf["meshes"][node["mesh"]]["primitives"]:
            del node["mesh"]  # trimesh would lose the children of the node
        elif instances is not None:
            placed = list(self._instances(node.pop("mesh"), instances["attributes"]))
            first = len(self._gltf["nodes"])
            self._gltf["nodes"] += placed
            node["children"] = [*node.get("children", ()), *range(first, first + len(placed))]

    def _instances(self, mesh: int, attributes: dict[str, int]) -> Iterator[dict[str, Any]]:
        names = [name for name in ("TRANSLATION", "ROTATION", "SCALE") if name in attributes]
        for rows in zip(*(self._numbers(attributes[name]).tolist() for name in names), strict=True):
            yield {"mesh": mesh, **{name.lower(): row for name, row in zip(names, rows, strict=True)}}

    def _numbers(self, number: int) -> Any:
        """Return the count × width numbers of an accessor as meant: sparse changes made, normalised ones divided."""
        import numpy as np  # noqa: PLC0415

        entry = self._old_accessors[number]
        kind, width = np.dtype(_TYPES[entry["componentType"]]), _WIDTHS[entry["type"]]
        if "bufferView" in entry:
            rows = self._rows(entry["bufferView"], entry.get("byteOffset", 0), (entry["count"], width), kind)
        else:
            rows = np.zeros((entry["count"], width), kind)
        if (sparse := entry.get("sparse")) is not None:
            places, values = sparse["indices"], sparse["values"]
            order = np.dtype(_TYPES[places["componentType"]])
            changed = self._rows(places["bufferView"], places.get("byteOffset", 0), (sparse["count"], 1), order)
            new = self._rows(values["bufferView"], values.get("byteOffset", 0), (sparse["count"], width), kind)
            rows[changed.ravel()] = new
        if entry.get("normalized") and kind.kind in "iu":
            return np.maximum(rows / float(np.iinfo(kind).max), -1.0)
        return rows

    def _rows(self, number: int, offset: int, shape: tuple[int, int], kind: Any) -> Any:
        import numpy as np  # noqa: PLC0415

        step = self._old_views[number].get("byteStride") or kind.itemsize * shape[1]
        return np.ndarray(shape, kind, self._view(number), offset, (step, kind.itemsize)).copy()

    def _view(self, number: int) -> bytes:
        view = self._old_views[number]
        start = int(view.get("byteOffset", 0))
        body: bytes = self._buffers[view["buffer"]]
        return body[start : start + int(view["byteLength"])]

    def _accessor(self, numbers: Any, kind: str) -> int:
        component = {"f": _FLOAT, "u": _UINT}[numbers.dtype.kind] if numbers.dtype.itemsize > 1 else _UBYTE
        entry = {
            "bufferView": self._append(numbers.tobytes()),
            "componentType": component,
            "count": len(numbers),
            "type": "SCALAR" if kind == "VEC1" else kind,
        }
        self._accessors.append(entry)
        return len(self._accessors) - 1

    def _append(self, body: bytes) -> int:
        self._views.append({"buffer": 0, "byteOffset": self._size, "byteLength": len(body)})
        padded = body + bytes(-len(body) % 4)
        self._pieces.append(padded)
        self._size += len(padded)
        return len(self._views) - 1


def _colours(numbers: Any) -> Any:
    """Return count × 4 bytes of colours given as floats from 0 to 1, or from 0 to 255 as assimp has them of an OFF."""
    import numpy as np  # noqa: PLC0415

    if numbers.dtype.kind == "f":
        scale = 255.0 if np.nanmax(numbers, initial=0.0) <= _WHITEST else 1.0
        numbers = np.rint(np.clip(np.nan_to_num(numbers) * scale, 0.0, 255.0))
    colours = np.full((len(numbers), 4), 255, np.uint8)
    colours[:, : numbers.shape[1]] = numbers
    return colours


_WHITEST = 1.5
"""Above 1, because rounding and some lights exceed it a little."""


def _triangles(order: Any, mode: int) -> Any:
    """Return the corners of the triangles of a list, strip or fan; every other triangle of a strip is turned."""
    import numpy as np  # noqa: PLC0415

    if mode == _STRIP:
        faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
        faces[1::2] = faces[1::2, [1, 0, 2]]
        return faces
    if mode == _FAN:
        return np.stack([order[1:-1], order[2:], np.full(len(order) - 2, order[0])], axis=1)
    if len(order) % 3:
        raise ValueError("corners do not make whole triangles")
    return order
