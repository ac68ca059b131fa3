"""Reads and writes 3MF packages: meshes, how they are put together, and the unit of their numbers. Needs numpy, lxml.

Our own, because assimp crashes on packages of several parts and trimesh wants more libraries for them. Colours,
slices and prices of the many extensions are passed over; parts in files of their own (production extension) are not.
"""

import posixpath
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from converto_engines.runtime.sandboxed.archive import check_size
from converto_engines.runtime.sandboxed.protocol import Refused

_LARGEST_RATIO, _RATIO_FROM_BYTES = 200, 64 * 1024**2
_DEPTH = 16
_MODEL_TYPE = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_PATH = "{http://schemas.microsoft.com/3dmanufacturing/production/2015/06}path"
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)

Part = tuple[str, Any, Any]
"""Name, vertices (count × 3), triangles (count × 3)."""


def read(path: str, limits: dict[str, int]) -> tuple[str, list[Part]]:
    """The unit of the numbers and the parts to build, each where it belongs; refuses what is too large or damaged."""
    try:
        with zipfile.ZipFile(path) as package:
            _check_size(package, limits)
            return _Model(package, limits["faces"]).built()
    except (zipfile.BadZipFile, KeyError, ValueError, IndexError, SyntaxError, NotImplementedError, EOFError) as error:
        raise Refused("corrupt", "") from error


def _check_size(package: zipfile.ZipFile, limits: dict[str, int]) -> None:
    members = package.infolist()
    check_size(members, entries=limits["entries"], unpacked_bytes=limits["unpacked_bytes"])
    unpacked, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
    if unpacked > _RATIO_FROM_BYTES and unpacked > _LARGEST_RATIO * max(packed, 1):
        raise Refused("too_large", f"The file unpacks to more than {_LARGEST_RATIO} times its size")


class _Object:
    """One `<object>`: a mesh of its own, or others put together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.vertices: list[tuple[float, float, float]] = []
        self.triangles: list[tuple[int, int, int]] = []
        self.components: list[tuple[str, tuple[float, ...]]] = []


class _Model:
    """The objects of all model files of a package, known as `file#id`, and what the first of them builds."""

    def __init__(self, package: zipfile.ZipFile, most_faces: int) -> None:
        self._package, self._most_faces = package, most_faces
        self._names = {name.lower(): name for name in package.namelist()}
        self.objects: dict[str, _Object] = {}
        self._read_files: set[str] = set()
        self.build: list[tuple[str, tuple[float, ...]]] = []
        self.unit = "millimeter"

    def built(self) -> tuple[str, list[Part]]:
        """Everything the package builds; where it names nothing to build, all that it holds."""
        self._read(self._start(), is_start=True)
        wanted = self.build or [(key, _IDENTITY) for key in self.objects]
        faces = sum(self._faces(key, _DEPTH) for key, _ in wanted)
        if faces > self._most_faces:
            raise Refused("too_large", f"The model has {faces:,} faces; {self._most_faces:,} are allowed")
        return self.unit, [part for key, place in wanted for part in self._placed(key, [place])]

    def _start(self) -> str:
        from lxml import etree  # noqa: PLC0415 - found only after the path was set

        if "_rels/.rels" in self._names:
            body = self._package.read(self._names["_rels/.rels"])
            relations = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
            for relation in relations:
                if relation.get("Type") == _MODEL_TYPE:
                    return str(relation.get("Target"))
        return next(name for name in self._names if name.endswith(".model"))

    def _read(self, path: str, *, is_start: bool = False) -> None:
        """One model file, and the files that its components and items lie in."""
        from lxml import etree  # noqa: PLC0415

        path = _inner(path)
        if path in self._read_files:
            return
        self._read_files.add(path)
        reading = _Reading(self, path, is_start=is_start)
        with self._package.open(self._names[path]) as stream:
            events = etree.iterparse(
                stream, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True
            )
            for event, element in events:
                tag = etree.QName(element).localname if isinstance(element.tag, str) else ""
                if event == "start":
                    reading.take(tag, element)
                elif tag in {"vertex", "triangle", "object"}:
                    _forget(element)
        for file in reading.further:
            self._read(file)

    def _faces(self, key: str, depth: int) -> int:
        """Counted before anything is put together: ten components of ten components are a bomb."""
        if depth == 0:
            raise Refused("too_large", f"The model's parts are nested more than {_DEPTH} deep")
        entry = self.objects[key]
        faces = len(entry.triangles)
        for inner, _ in entry.components:
            faces += self._faces(inner, depth - 1)
            if faces > self._most_faces:
                break
        return faces

    def _placed(self, key: str, places: Sequence[tuple[float, ...]]) -> Iterator[Part]:
        import numpy as np  # noqa: PLC0415

        entry = self.objects[key]
        if entry.triangles:
            vertices = np.array(entry.vertices, dtype=float).reshape(-1, 3)
            triangles = np.array(entry.triangles, dtype=np.int64).reshape(-1, 3)
            if triangles.min() < 0 or triangles.max() >= len(vertices):
                raise Refused("corrupt", "")
            for place in reversed(places):
                matrix = np.array(place).reshape(4, 3)
                vertices = vertices @ matrix[:3] + matrix[3]
            yield entry.name, vertices, triangles
        for inner, place in entry.components:
            yield from self._placed(inner, [*places, place])


class _Reading:
    """Takes up the elements of one model file as they come by."""

    def __init__(self, model: _Model, file: str, *, is_start: bool) -> None:
        self._model, self._file, self._is_start = model, file, is_start
        self._object = _Object("")
        self.further: list[str] = []
        self._takers: dict[str, Callable[[Any], None]] = {
            "model": self._take_unit,
            "object": self._take_object,
            "vertex": self._take_vertex,
            "triangle": self._take_triangle,
            "component": self._take_component,
            "item": self._take_item,
        }

    def take(self, tag: str, element: Any) -> None:
        """One element that has just begun; its attributes are known."""
        if (taker := self._takers.get(tag)) is not None:
            taker(element)

    def _take_unit(self, element: Any) -> None:
        if self._is_start:
            self._model.unit = element.get("unit", self._model.unit)

    def _take_object(self, element: Any) -> None:
        self._object = self._model.objects[f"{self._file}#{element.get('id')}"] = _Object(element.get("name", ""))

    def _take_vertex(self, element: Any) -> None:
        self._object.vertices.append((float(element.get("x")), float(element.get("y")), float(element.get("z"))))

    def _take_triangle(self, element: Any) -> None:
        self._object.triangles.append((int(element.get("v1")), int(element.get("v2")), int(element.get("v3"))))

    def _take_component(self, element: Any) -> None:
        self._object.components.append(self._placed(element))

    def _take_item(self, element: Any) -> None:
        if self._is_start:
            self._model.build.append(self._placed(element))

    def _placed(self, element: Any) -> tuple[str, tuple[float, ...]]:
        file = _inner(element.get(_PATH) or self._file)
        self.further.append(file)
        return f"{file}#{element.get('objectid')}", _place(element.get("transform"))


def _forget(element: Any) -> None:
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


def _inner(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/").lstrip("/")).lower()


def _place(text: str | None) -> tuple[float, ...]:
    numbers = tuple(float(number) for number in (text or "").split())
    if numbers and len(numbers) != 12:
        raise ValueError(f"a transform of {len(numbers)} numbers")
    return numbers or _IDENTITY


def write(path: str, unit: str, parts: Sequence[Part]) -> None:
    """A package of these parts, each an object of its own that is built once."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as package:
        package.writestr("[Content_Types].xml", _CONTENT_TYPES)
        package.writestr("_rels/.rels", _RELATIONS)
        with package.open("3D/3dmodel.model", "w", force_zip64=True) as stream:
            stream.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<model unit="{unit}" xmlns="{_CORE}">'.encode())
            stream.write(b"<resources>")
            for number, part in enumerate(parts, 1):
                stream.writelines(_object_lines(number, part))
            items = "".join(f'<item objectid="{number}"/>' for number in range(1, len(parts) + 1))
            stream.write(f"</resources><build>{items}</build></model>".encode())


def _object_lines(number: int, part: Part) -> Iterator[bytes]:
    name, vertices, triangles = part
    printable = "".join(character for character in name if character.isprintable())
    told = f" name={quoteattr(printable)}" if printable else ""
    yield f'<object id="{number}" type="model"{told}><mesh><vertices>\n'.encode()
    for x, y, z in vertices.tolist():
        yield f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>\n'.encode()
    yield b"</vertices><triangles>\n"
    for one, two, three in triangles.tolist():
        if one not in (two, three) and two != three:  # the format forbids them
            yield f'<triangle v1="{one}" v2="{two}" v3="{three}"/>\n'.encode()
    yield b"</triangles></mesh></object>\n"


_CONTENT_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Target="/3D/3dmodel.model" Id="model" Type="{_MODEL_TYPE}"/></Relationships>'
)
