"""Features of glTF that change size, parts or colours: quantised, mirrored, repeated, stripped and required ones."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy
import pytest
import trimesh

from converto_core.errors import BadSource, CorruptSource, SourceTooLarge
from converto_engines.models.meshes import Meshes
from tests.engines.conftest import RunJob
from tests.engines.models import model_files as models

TRIANGLES = [(0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4), (2, 6, 3), (3, 6, 7)]
TRIANGLES += [(0, 4, 2), (2, 4, 6), (1, 3, 5), (3, 7, 5)]
"""A box of the corners (x, y, z) = the bits of the number, lowest bit first; its surface faces outwards."""
CORNERS = [(n & 1, n >> 1 & 1, n >> 2) for n in range(8)]


class Parts:
    """Builds a GLB piece by piece; each method returns the number of what it added."""

    def __init__(self) -> None:
        self.body = b""
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, content: bytes, **more: int) -> int:
        self.views.append({"buffer": 0, "byteOffset": len(self.body), "byteLength": len(content), **more})
        self.body += content + bytes(-len(content) % 4)
        return len(self.views) - 1

    def accessor(self, content: bytes, component: int, kind: str, count: int, **more: Any) -> int:
        view = self.view(content)
        self.accessors.append({"bufferView": view, "componentType": component, "type": kind, "count": count, **more})
        return len(self.accessors) - 1

    def points(self, corners: list[tuple[float, ...]]) -> int:
        numbers = [float(number) for corner in corners for number in corner]
        low, high = [list(map(pick, zip(*corners, strict=True))) for pick in (min, max)]
        body = struct.pack(f"<{len(numbers)}f", *numbers)
        return self.accessor(body, 5126, f"VEC{len(corners[0])}", len(corners), min=low, max=high)

    def order(self, corners: list[int]) -> int:
        return self.accessor(struct.pack(f"<{len(corners)}H", *corners), 5123, "SCALAR", len(corners))

    def glb(self, primitive: dict[str, Any], nodes: list[dict[str, Any]], **more: Any) -> bytes:
        message = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}]}
        message |= {
            "nodes": nodes,
            "meshes": [{"primitives": [primitive]}],
            "buffers": [{"byteLength": len(self.body)}],
        }
        return models.container(message | {"bufferViews": self.views, "accessors": self.accessors} | more, self.body)


def box(parts: Parts, size: float = 10.0) -> dict[str, Any]:
    corners = [tuple(size * number for number in corner) for corner in CORNERS]
    order = [corner for triangle in TRIANGLES for corner in triangle]
    return {"attributes": {"POSITION": parts.points(corners)}, "indices": parts.order(order)}


async def stl_of(meshes: Meshes, run_job: RunJob, folder: Path, content: bytes, **more: Any) -> trimesh.Trimesh:
    path = folder / "model.glb"
    path.write_bytes(content)
    (product,) = await run_job(meshes, path, "glb", "stl", **more)
    with product.path.open("rb") as file:
        mesh = trimesh.load_mesh(file, file_type="stl")
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


async def test_normalised_coordinates_have_their_true_size(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    parts = Parts()
    primitive = box(parts)
    signed = [127 if number else -127 for corner in CORNERS for number in corner]
    quantised = b"".join(struct.pack("<3bx", *signed[place : place + 3]) for place in range(0, 24, 3))
    primitive["attributes"]["POSITION"] = parts.accessor(quantised, 5120, "VEC3", 8, normalized=True)
    parts.views[-1]["byteStride"] = 4
    content = parts.glb(primitive, [{"mesh": 0, "scale": [5, 10, 15]}], extensionsRequired=["KHR_mesh_quantization"])

    mesh = await stl_of(meshes, run_job, tmp_path, content)

    assert mesh.bounds.tolist() == [[-5, -10, -15], [5, 10, 15]]
    assert mesh.volume == pytest.approx(10 * 20 * 30, rel=1e-5)


async def test_sparse_changes_are_made(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    """The box of 10 is stretched to 20 in x by four changed corners."""
    parts = Parts()
    primitive = box(parts)
    changed = parts.view(struct.pack("<4H", 1, 3, 5, 7))
    values = [20.0 if axis == 0 else 10.0 * CORNERS[corner][axis] for corner in (1, 3, 5, 7) for axis in range(3)]
    parts.accessors[0]["sparse"] = {
        "count": 4,
        "indices": {"bufferView": changed, "componentType": 5123},
        "values": {"bufferView": parts.view(struct.pack("<12f", *values))},
    }

    mesh = await stl_of(meshes, run_job, tmp_path, parts.glb(primitive, [{"mesh": 0}]))

    assert mesh.volume == pytest.approx(2000)


@pytest.mark.parametrize("target", ["stl", "obj", "glb", "ply"])
async def test_mirrored_part_faces_outwards(meshes: Meshes, run_job: RunJob, tmp_path: Path, target: str) -> None:
    parts = Parts()
    nodes = [{"mesh": 0, "scale": [-1, 1, 1]}, {"mesh": 0, "translation": [40, 0, 0]}]
    path = tmp_path / "mirror.glb"
    path.write_bytes(parts.glb(box(parts), nodes))
    (product,) = await run_job(meshes, path, "glb", target)

    with product.path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type=target)
    assert sum(mesh.volume for mesh in scene.dump()) == pytest.approx(2000)


async def test_fan_and_strip_are_whole_and_face_one_way(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    """Two squares of 1 in the plane z = 0, both facing upwards."""
    parts = Parts()
    corners = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 0.0)]
    fan = {"attributes": {"POSITION": parts.points(corners)}, "indices": parts.order([0, 1, 2, 3]), "mode": 6}
    strip = {"attributes": {"POSITION": 0}, "indices": parts.order([0, 1, 3, 2]), "mode": 5}
    content = parts.glb(fan, [{"mesh": 0}], meshes=[{"primitives": [fan, strip]}])

    mesh = await stl_of(meshes, run_job, tmp_path, content)

    assert len(mesh.faces) == 4
    assert mesh.area == pytest.approx(2)
    assert mesh.face_normals[:, 2].tolist() == [1, 1, 1, 1]


async def test_instances_are_all_in_the_result(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    parts = Parts()
    primitive = box(parts)
    places = parts.points([(0.0, 0.0, 0.0), (20.0, 0.0, 0.0), (40.0, 0.0, 0.0)])
    node = {"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": places}}}}
    content = parts.glb(primitive, [node], extensionsRequired=["EXT_mesh_gpu_instancing"])

    mesh = await stl_of(meshes, run_job, tmp_path, content)

    assert mesh.volume == pytest.approx(3000)
    assert mesh.extents.tolist() == [50, 10, 10]
    with pytest.raises(SourceTooLarge, match="36 faces"):
        limits = models.limits(faces=24)
        await stl_of(meshes, run_job, tmp_path, content, limits=limits)


async def test_what_hangs_on_a_camera_is_kept(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    parts = Parts()
    nodes: list[dict[str, Any]] = [{"camera": 0, "translation": [7, 0, 0], "children": [1]}, {"mesh": 0}]
    camera = {"type": "perspective", "perspective": {"yfov": 1, "znear": 0.1, "aspectRatio": 1, "zfar": 9}}
    content = parts.glb(box(parts), nodes, cameras=[camera], scenes=[{"nodes": [0]}])

    mesh = await stl_of(meshes, run_job, tmp_path, content)

    assert mesh.bounds[0].tolist() == [7, 0, 0]


@pytest.mark.parametrize("name", ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "ACME_folded_space"])
async def test_required_extension_is_refused_by_name(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, name: str
) -> None:
    with pytest.raises(BadSource, match=name) as caught:
        await stl_of(meshes, run_job, tmp_path, models.glb(extensionsRequired=[name]))

    assert caught.value.stable_code == "source_unsupported"


async def test_required_look_is_told_not_refused(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    notes: list[str] = []
    content = models.glb(extensionsRequired=["KHR_texture_basisu"])
    mesh = await stl_of(meshes, run_job, tmp_path, content, note=notes.append)

    assert len(mesh.faces) == 12
    assert any("KHR_texture_basisu" in note for note in notes)


async def test_missing_textures_are_named_and_geometry_kept(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    notes: list[str] = []
    images = [{"uri": "../maps/wood.png"}, {"uri": "http://127.0.0.1:9/sky.jpg"}]
    textures = [{"source": 0}, {"source": 1}]
    materials = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    content = models.glb(images=images, textures=textures, materials=materials)
    mesh = await stl_of(meshes, run_job, tmp_path, content, note=notes.append)

    assert len(mesh.faces) == 12
    assert any("wood.png, sky.jpg" in note for note in notes)


async def test_damaged_quantised_model_is_corrupt(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    parts = Parts()
    primitive = box(parts)
    primitive["attributes"]["POSITION"] = parts.accessor(b"\0" * 8, 5120, "VEC3", 8, normalized=True)
    with pytest.raises(CorruptSource):
        await stl_of(meshes, run_job, tmp_path, parts.glb(primitive, [{"mesh": 0}]))


@pytest.mark.parametrize("component", [5121, 5123, 5126])
async def test_corner_colours_of_any_type_reach_ply_and_glb(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, component: int
) -> None:
    """The colours multiply the material, here half red."""
    parts = Parts()
    primitive = box(parts)
    letter, largest = {5121: ("B", 255), 5123: ("H", 65535), 5126: ("f", 1.0)}[component]
    colours = struct.pack(f"<32{letter}", *[largest, 0, largest, largest] * 8)
    primitive["attributes"]["COLOR_0"] = parts.accessor(colours, component, "VEC4", 8, normalized=component != 5126)
    materials = [{"pbrMetallicRoughness": {"baseColorFactor": [0.5, 1, 1, 1]}}]
    path = tmp_path / "coloured.glb"
    path.write_bytes(parts.glb(primitive | {"material": 0}, [{"mesh": 0}], materials=materials))
    (ply,) = await run_job(meshes, path, "glb", "ply")
    (glb,) = await run_job(meshes, path, "glb", "glb")

    with ply.path.open("rb") as file:
        mesh = trimesh.load_mesh(file, file_type="ply")
    assert numpy.abs(mesh.visual.vertex_colors[:, :3].astype(int) - (128, 0, 255)).max() <= 1
    assert first_colour(glb.path.read_bytes()) == (255, 0, 255, 255)


def first_colour(body: bytes) -> tuple[int, ...]:
    """The first COLOR_0 of a GLB, which has to be four bytes."""
    (length,) = struct.unpack_from("<I", body, 12)
    gltf = json.loads(body[20 : 20 + length])
    accessor = gltf["accessors"][gltf["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["type"]) == (5121, "VEC4")
    view = gltf["bufferViews"][accessor["bufferView"]]
    return struct.unpack_from("<4B", body, 28 + length + view.get("byteOffset", 0) + accessor.get("byteOffset", 0))


REAL = [("quant.glb", 6000.0), ("mirror.glb", 12_000.0)]


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "volume"), REAL)
async def test_model_that_went_wrong_has_its_volume(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, found: Path, name: str, volume: float
) -> None:
    mesh = await stl_of(meshes, run_job, tmp_path, (found / name).read_bytes())

    assert mesh.volume == pytest.approx(volume, rel=1e-4)
