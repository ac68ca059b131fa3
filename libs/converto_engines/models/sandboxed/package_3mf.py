"""Reads and writes 3MF packages: meshes, components and the unit, with numpy and lxml.

Our own code, because assimp crashes on packages of several parts, trimesh needs more libraries, and lib3mf refuses
degenerate triangles. Colours and slices of the extensions are ignored; parts in separate files (production extension)
are read.
"""

import posixpath
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from converto_engines.models.sandboxed.unsupported import Unsupported
from converto_engines.runtime.sandboxed.archive import check_size
from converto_engines.runtime.sandboxed.protocol import Refused

_MAX_RATIO, _RATIO_FROM_BYTES = 200, 64 * 1024**2
_MAX_DEPTH = 16
_MODEL_TYPE = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_PATH = "{http://schemas.microsoft.com/3dmanufacturing/production/2015/06}path"
_READ_OR_HARMLESS = ("/core/", "/production/", "/material/", "/slice/", "/trianglesets/")
"""Extensions that a package may require; what the others add, such as beams, would be missing from the surface."""
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)

Part = tuple[str, Any, Any]
"""Name, vertices (count × 3), triangles (count × 3)."""


def read(path: str, limits: dict[str, int]) -> tuple[str, list[Part]]:
    """Return the unit and the parts to build in their positions; refuses packages that are too large or damaged."""
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
    if unpacked > _RATIO_FROM_BYTES and unpacked > _MAX_RATIO * max(packed, 1):
        raise Refused("too_large", f"The file unpacks to more than {_MAX_RATIO} times its size")


class _Object:
    """One `<object>`: a mesh, or components that refer to other objects."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.vertices: list[tuple[float, float, float]] = []
        self.triangles: list[tuple[int, int, int]] = []
        self.components: list[tuple[str, tuple[float, ...]]] = []


class _Model:
    """The objects of all model files of a package, by `file#id`, and the build of the root model."""

    def __init__(self, package: zipfile.ZipFile, max_faces: int) -> None:
        self._package, self._max_faces = package, max_faces
        self._names = {name.lower(): name for name in package.namelist()}
        self.objects: dict[str, _Object] = {}
        self._read_files: set[str] = set()
        self._face_counts: dict[tuple[str, int], int] = {}
        self.build: list[tuple[str, tuple[float, ...]]] = []
        self.unit = "millimeter"

    def built(self) -> tuple[str, list[Part]]:
        """Return unit and parts of the build; without build items, all objects."""
        self._read(self._start(), is_start=True)
        wanted = self.build or [(key, _IDENTITY) for key in self.objects]
        faces = sum(self._faces(key, _MAX_DEPTH) for key, _ in wanted)
        if faces > self._max_faces:
            raise Refused("too_large", f"The model has {faces:,} faces; at most {self._max_faces:,} are allowed")
        return self.unit, [part for key, transform in wanted for part in self._expand(key, [transform])]

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
        """Read one model file and the files its components and items refer to."""
        from lxml import etree  # noqa: PLC0415

        path = _member_name(path)
        if path in self._read_files:
            return
        self._read_files.add(path)
        handler = _ModelHandler(self, path, is_start=is_start)
        with self._package.open(self._names[path]) as stream:
            events = etree.iterparse(
                stream, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True
            )
            for event, element in events:
                tag = etree.QName(element).localname if isinstance(element.tag, str) else ""
                if event == "start":
                    handler.take(tag, element)
                elif tag in {"vertex", "triangle", "object"}:
                    _release(element)
        for file in handler.referenced_files:
            self._read(file)

    def _faces(self, key: str, depth: int) -> int:
        """Count faces before expanding components, because nested components multiply."""
        if depth == 0:
            raise Refused("too_large", f"The components of the model are nested more than {_MAX_DEPTH} deep")
        if (key, depth) not in self._face_counts:
            entry = self.objects[key]
            parts = sum(self._faces(inner, depth - 1) for inner, _ in entry.components)
            self._face_counts[key, depth] = len(entry.triangles) + parts
        return self._face_counts[key, depth]

    def _expand(self, key: str, transforms: Sequence[tuple[float, ...]]) -> Iterator[Part]:
        """Yield the parts of an object, each moved by the transforms from the innermost to the outermost."""
        import numpy as np  # noqa: PLC0415

        entry = self.objects[key]
        if entry.triangles:
            vertices = np.array(entry.vertices, dtype=float).reshape(-1, 3)
            triangles = np.array(entry.triangles, dtype=np.int64).reshape(-1, 3)
            if triangles.min() < 0 or triangles.max() >= len(vertices):
                raise Refused("corrupt", "")
            for transform in reversed(transforms):
                matrix = np.array(transform).reshape(4, 3)
                vertices = vertices @ matrix[:3] + matrix[3]
                if np.linalg.det(matrix[:3]) < 0:
                    triangles = triangles[:, ::-1]  # a mirror turns the surface inside out
            yield entry.name, vertices, triangles
        for inner, transform in entry.components:
            yield from self._expand(inner, [*transforms, transform])


class _ModelHandler:
    """Collects the elements of one model file as the parser meets them."""

    def __init__(self, model: _Model, file: str, *, is_start: bool) -> None:
        self._model, self._file, self._is_start = model, file, is_start
        self._object = _Object("")
        self.referenced_files: list[str] = []
        self._handlers: dict[str, Callable[[Any], None]] = {
            "model": self._take_model,
            "object": self._take_object,
            "vertex": self._take_vertex,
            "triangle": self._take_triangle,
            "component": self._take_component,
            "item": self._take_item,
        }

    def take(self, tag: str, element: Any) -> None:
        """Handle the start of an element; its attributes are already complete."""
        if (handle := self._handlers.get(tag)) is not None:
            handle(element)

    def _take_model(self, element: Any) -> None:
        for prefix in (element.get("requiredextensions") or "").split():
            namespace = str(element.nsmap.get(prefix, prefix))
            if not any(part in namespace for part in _READ_OR_HARMLESS):
                shown = namespace.partition("/3dmanufacturing/")[2].partition("/")[0] or namespace[-60:]
                raise Unsupported(f"The model requires the 3MF extension {shown}, which is not supported")
        if self._is_start:
            self._model.unit = element.get("unit", self._model.unit)

    def _take_object(self, element: Any) -> None:
        self._object = self._model.objects[f"{self._file}#{element.get('id')}"] = _Object(element.get("name", ""))

    def _take_vertex(self, element: Any) -> None:
        self._object.vertices.append((float(element.get("x")), float(element.get("y")), float(element.get("z"))))

    def _take_triangle(self, element: Any) -> None:
        self._object.triangles.append((int(element.get("v1")), int(element.get("v2")), int(element.get("v3"))))

    def _take_component(self, element: Any) -> None:
        self._object.components.append(self._reference(element))

    def _take_item(self, element: Any) -> None:
        if self._is_start:
            self._model.build.append(self._reference(element))

    def _reference(self, element: Any) -> tuple[str, tuple[float, ...]]:
        file = _member_name(element.get(_PATH) or self._file)
        self.referenced_files.append(file)
        return f"{file}#{element.get('objectid')}", _transform(element.get("transform"))


def _release(element: Any) -> None:
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


def _member_name(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/").lstrip("/")).lower()


def _transform(text: str | None) -> tuple[float, ...]:
    numbers = tuple(float(number) for number in (text or "").split())
    if numbers and len(numbers) != 12:
        raise ValueError(f"a transform of {len(numbers)} numbers")
    return numbers or _IDENTITY


def write(path: str, unit: str, parts: Sequence[Part]) -> None:
    """Write a package with one object and one build item per part."""
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
    name_attribute = f" name={quoteattr(printable)}" if printable else ""
    yield f'<object id="{number}" type="model"{name_attribute}><mesh><vertices>\n'.encode()
    for x, y, z in vertices.tolist():
        yield f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>\n'.encode()
    yield b"</vertices><triangles>\n"
    for one, two, three in triangles.tolist():
        if one not in (two, three) and two != three:  # the format forbids degenerate triangles
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
