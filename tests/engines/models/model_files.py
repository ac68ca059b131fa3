"""Small hand-written models for the mesh, CAD and preview tests: a box of known size."""

import base64
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

from converto_engines.converter import Limits

SIZE = (20.0, 30.0, 40.0)
VOLUME, AREA = 24_000.0, 2 * (600.0 + 800.0 + 1200.0)
CORNERS = [(x * 20.0, y * 30.0, z * 40.0) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = [face for a, b, c, d in QUADS for face in ((a, b, c), (a, c, d))]


def stl() -> bytes:
    body = b"".join(
        struct.pack("<12fH", 0, 0, 0, *(n for corner in face for n in CORNERS[corner]), 0) for face in FACES
    )
    return b"a box".ljust(80) + struct.pack("<I", len(FACES)) + body


def ascii_stl() -> bytes:
    lines = ["solid box"]
    for face in FACES:
        corners = ["   vertex {} {} {}".format(*CORNERS[corner]) for corner in face]
        lines += ["facet normal 0 0 0", " outer loop", *corners, " endloop", "endfacet"]
    return "\n".join([*lines, "endsolid box", ""]).encode()


def obj(more: str = "") -> bytes:
    corners = "".join("v {} {} {}\n".format(*corner) for corner in CORNERS)
    return (
        more + corners + "".join("f {} {} {} {}\n".format(*(place + 1 for place in quad)) for quad in QUADS)
    ).encode()


def ply(colour: tuple[int, int, int] | None = None) -> bytes:
    colours = "" if colour is None else "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    head = (
        "ply\nformat ascii 1.0\nelement vertex 8\nproperty float x\nproperty float y\nproperty float z\n"
        f"{colours}element face 12\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = [" ".join(str(number) for number in (*corner, *(colour or ()))) for corner in CORNERS]
    return (head + "\n".join([*rows, *("3 {} {} {}".format(*face) for face in FACES), ""])).encode()


def off() -> bytes:
    rows = [" ".join(map(str, corner)) for corner in CORNERS] + ["4 {} {} {} {}".format(*quad) for quad in QUADS]
    return "\n".join(["OFF", "8 6 0", *rows, ""]).encode()


def _gltf(uri: str | None, *, scale: float = 0.001, colour: tuple[float, ...] = (1, 0, 0, 1)) -> tuple[dict, bytes]:  # type: ignore[type-arg]
    """The box in metres, so with 1/1000 of the coordinates."""
    places = [tuple(number * scale for number in corner) for corner in CORNERS]
    body = struct.pack("<24f", *(n for place in places for n in place))
    body += struct.pack("<36H", *(corner for face in FACES for corner in face))
    buffer = {"byteLength": len(body)} | ({} if uri is None else {"uri": uri})
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "box"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": list(colour)}}],
        "buffers": [buffer],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 96},
            {"buffer": 0, "byteOffset": 96, "byteLength": 72},
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 8,
                "type": "VEC3",
                "min": list(places[0]),
                "max": list(places[-1]),
            },
            {"bufferView": 1, "componentType": 5123, "count": 36, "type": "SCALAR"},
        ],
    }, body


def gltf(uri: str = "") -> bytes:
    """With embedded buffers, or with a reference to another file."""
    message, body = _gltf(uri or "data:application/octet-stream;base64,")
    if not uri:
        message["buffers"][0]["uri"] += base64.b64encode(body).decode()
    return json.dumps(message).encode()


def glb(**changes: object) -> bytes:
    """`changes` replace top-level keys of the JSON."""
    message, body = _gltf(None)
    return container(message | changes, body)


def container(message: dict[str, Any], body: bytes) -> bytes:
    """A GLB of this JSON and this binary chunk."""
    head = json.dumps(message).encode()
    head += b" " * (-len(head) % 4)
    size = 28 + len(head) + len(body)
    chunks = struct.pack("<I4s", len(head), b"JSON") + head + struct.pack("<I4s", len(body), b"BIN\0") + body
    return struct.pack("<4sII", b"glTF", 2, size) + chunks


def package(path: Path, *, unit: str = "millimeter", names: tuple[str, ...] = ("box",), build: str = "") -> Path:
    """A 3MF of one box per name, each 100 further along x."""
    vertices = "".join('<vertex x="{}" y="{}" z="{}"/>'.format(*corner) for corner in CORNERS)
    triangles = "".join('<triangle v1="{}" v2="{}" v3="{}"/>'.format(*face) for face in FACES)
    mesh = f"<mesh><vertices>{vertices}</vertices><triangles>{triangles}</triangles></mesh>"
    objects = "".join(f'<object id="{n}" name="{name}">{mesh}</object>' for n, name in enumerate(names, 1))
    items = build or "".join(
        f'<item objectid="{n}" transform="1 0 0 0 1 0 0 0 1 {100 * (n - 1)} 0 0"/>' for n in range(1, len(names) + 1)
    )
    core = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
    extra = objects if "<" not in build else objects + build.partition("|")[0]
    items = items.partition("|")[2] if "|" in items else items
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "3D/3dmodel.model",
            f'<model unit="{unit}" xmlns="{core}"><resources>{extra}</resources><build>{items}</build></model>',
        )
    return path


def dae() -> bytes:
    """COLLADA in centimetres with +Z up."""
    places = " ".join(str(number) for corner in CORNERS for number in corner)
    order = " ".join(str(corner) for face in FACES for corner in face)
    return f"""<?xml version="1.0"?>
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
<asset><unit name="centimeter" meter="0.01"/><up_axis>Y_UP</up_axis></asset>
<library_geometries><geometry id="g"><mesh>
<source id="p"><float_array id="a" count="24">{places}</float_array><technique_common>
<accessor source="#a" count="8" stride="3"><param name="X" type="float"/><param name="Y" type="float"/>
<param name="Z" type="float"/></accessor></technique_common></source>
<vertices id="v"><input semantic="POSITION" source="#p"/></vertices>
<triangles count="12"><input semantic="VERTEX" source="#v" offset="0"/><p>{order}</p></triangles>
</mesh></geometry></library_geometries>
<library_visual_scenes><visual_scene id="s"><node><instance_geometry url="#g"/></node></visual_scene>
</library_visual_scenes>
<scene><instance_visual_scene url="#s"/></scene></COLLADA>""".encode()


def studio() -> bytes:
    """3D Studio: chunks of type, size and content."""

    def chunk(kind: int, body: bytes) -> bytes:
        return struct.pack("<HI", kind, 6 + len(body)) + body

    corners = struct.pack("<H", 8) + b"".join(struct.pack("<3f", *corner) for corner in CORNERS)
    faces = struct.pack("<H", 12) + b"".join(struct.pack("<4H", *face, 0) for face in FACES)
    mesh = chunk(0x4100, chunk(0x4110, corners) + chunk(0x4120, faces))
    return chunk(0x4D4D, chunk(0x0002, struct.pack("<I", 3)) + chunk(0x3D3D, chunk(0x4000, b"box\0" + mesh)))


def fbx() -> bytes:
    """FBX as text."""
    places = ",".join(str(number) for corner in CORNERS for number in corner)
    order = ",".join(f"{a},{b},{-c - 1}" for a, b, c in FACES)
    return f"""; FBX 7.3.0 project file
FBXHeaderExtension:  {{
	FBXHeaderVersion: 1003
	FBXVersion: 7300
}}
Objects:  {{
	Geometry: 1000, "Geometry::box", "Mesh" {{
		Vertices: *24 {{
			a: {places}
		}}
		PolygonVertexIndex: *36 {{
			a: {order}
		}}
		GeometryVersion: 124
	}}
	Model: 2000, "Model::box", "Mesh" {{
		Version: 232
	}}
}}
Connections:  {{
	C: "OO",1000,2000
	C: "OO",2000,0
}}
""".encode()


def limits(**changes: Any) -> Limits:
    return Limits(wall_s=60, cpu_s=60, **changes)
