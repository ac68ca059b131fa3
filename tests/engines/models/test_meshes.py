"""Meshes to meshes with the real programs, read back with trimesh (behaviours C6, I13)."""

import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import trimesh

from converto_core.errors import BadOptions, BadSource, CorruptSource, OutputInvalid, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.models.figures import Figures, check
from converto_engines.models.meshes import Meshes
from tests.engines.conftest import SHORT, RunJob
from tests.engines.models import model_files as models

TARGETS = ("stl", "obj", "glb", "ply", "3mf", "off")
SOURCES: dict[str, Callable[[], bytes]] = {
    "stl": models.stl,
    "obj": models.obj,
    "glb": models.glb,
    "gltf": models.gltf,
    "ply": models.ply,
    "off": models.off,
    "dae": models.dae,
    "3ds": models.studio,
    "fbx": models.fbx,
}
METRES = {"glb", "gltf"}
"""Sources whose box is a thousandth of what the others have; COLLADA's is declared in centimetres."""
TURNED = {"3ds"}
"""assimp rotates it upright: the depth in 3D Studio becomes the height in all formats it writes."""


def written(folder: Path, kind: str) -> Path:
    path = folder / f"box.{kind}"
    if kind == "3mf":
        return models.package(path)
    path.write_bytes(SOURCES[kind]())
    return path


def loaded(path: Path) -> trimesh.Trimesh:
    """Load a result with trimesh; a 3MF is parsed here, because trimesh needs more libraries for it."""
    if path.suffix == ".3mf":
        return package_read(path)[1]
    with path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type=path.suffix[1:], process=False)
    return trimesh.util.concatenate(scene.dump())


def package_read(path: Path) -> tuple[str, trimesh.Trimesh]:
    with zipfile.ZipFile(path) as archive:
        text = archive.read("3D/3dmodel.model").decode()
    parts = []
    for part in text.split("<object ")[1:]:
        vertices = [[float(n) for n in found] for found in re.findall(r'<vertex x="(.+?)" y="(.+?)" z="(.+?)"', part)]
        faces = [[int(n) for n in found] for found in re.findall(r'v1="(\d+)" v2="(\d+)" v3="(\d+)"', part)]
        parts.append(trimesh.Trimesh(vertices, faces, process=False))
    return str(re.findall('unit="(.+?)"', text)[0]), trimesh.util.concatenate(parts)


def sealed(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    mesh.merge_vertices(merge_norm=True, merge_tex=True)
    return mesh


def is_box(mesh: trimesh.Trimesh, factor: float = 1.0, size: tuple[float, ...] = models.SIZE) -> bool:
    return (
        len(mesh.faces) == 12
        and bool(numpy.allclose(mesh.extents, numpy.array(size) * factor, rtol=1e-5))
        and bool(numpy.isclose(abs(mesh.volume), models.VOLUME * factor**3, rtol=1e-4))
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", [*SOURCES, "3mf"])
async def test_converted_mesh_keeps_faces_box_and_volume(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, source: str, target: str
) -> None:
    """C6: every pair of formats."""
    (product,) = await run_job(meshes, written(tmp_path, source), source, target)

    factor = {"glb": 0.001, "gltf": 0.001, "dae": 0.01}.get(source, 1.0)
    if source == "3mf" and target == "glb":
        factor = 0.001  # one states millimetres, the other metres
    x, y, z = models.SIZE
    assert product.path.suffix == f".{target}"
    assert is_box(loaded(product.path), factor, (x, z, y) if source in TURNED else models.SIZE)


async def test_stl_corners_are_merged_to_a_closed_surface(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    (product,) = await run_job(meshes, written(tmp_path, "stl"), "stl", "ply")

    result = loaded(product.path)
    assert len(result.vertices) == 8
    assert result.is_watertight


UNITS = [
    ("stl", "3mf", {"source_units": "inch"}, 1.0, "inch"),
    ("stl", "3mf", {}, 1.0, "millimeter"),
    ("stl", "obj", {"source_units": "inch", "units": "mm"}, 25.4, ""),
    ("stl", "glb", {"source_units": "mm"}, 0.001, ""),
    ("stl", "glb", {}, 1.0, ""),
    ("glb", "stl", {"units": "mm"}, 1.0, ""),
    ("glb", "stl", {}, 0.001, ""),
    ("glb", "3mf", {}, 0.001, "meter"),
    ("glb", "3mf", {"units": "cm"}, 0.1, "centimeter"),
    ("3mf", "glb", {}, 0.001, ""),
    ("3mf", "stl", {"units": "cm"}, 0.1, ""),
    ("dae", "stl", {"units": "cm"}, 1.0, ""),
]


@pytest.mark.parametrize(("source", "target", "options", "factor", "unit"), UNITS)
async def test_stated_or_chosen_units_scale_the_coordinates(
    meshes: Meshes,
    run_job: RunJob,
    tmp_path: Path,
    source: str,
    target: str,
    options: dict[str, Any],
    factor: float,
    unit: str,
) -> None:
    """C6: glTF is in metres, 3MF states its unit, the others keep their coordinates."""
    (product,) = await run_job(meshes, written(tmp_path, source), source, target, **options)

    assert is_box(loaded(product.path), factor)
    if unit:
        assert package_read(product.path)[0] == unit


@pytest.mark.parametrize(("target", "options"), [("obj", {"units": "mm"}), ("glb", {"units": "mm"})])
async def test_units_of_unknown_origin_are_refused(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, target: str, options: dict[str, Any]
) -> None:
    with pytest.raises(BadOptions, match="units: "):
        await run_job(meshes, written(tmp_path, "stl"), "stl", target, **options)


@pytest.mark.parametrize(("up", "size"), [("y_to_z", (20, 40, 30)), ("z_to_y", (20, 40, 30)), ("keep", (20, 30, 40))])
async def test_up_rotates_without_mirroring(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, up: str, size: tuple[float, ...]
) -> None:
    (product,) = await run_job(meshes, written(tmp_path, "stl"), "stl", "ply", up=up)

    result = loaded(product.path)
    expected = {"y_to_z": (0, -40, 0), "z_to_y": (0, 0, -30), "keep": (0, 0, 0)}[up]
    assert result.extents == pytest.approx(size)
    assert result.bounds[0] == pytest.approx(expected)
    assert result.volume == pytest.approx(loaded(written(tmp_path, "stl")).volume, rel=1e-4)


@pytest.mark.parametrize(("target", "start"), [("stl", b"solid"), ("ply", b"ply\nformat ascii")])
async def test_ascii_file_is_text_with_the_same_box(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, target: str, start: bytes
) -> None:
    (text,) = await run_job(meshes, written(tmp_path, "stl"), "stl", target, encoding="ascii")
    (binary,) = await run_job(meshes, written(tmp_path, "stl"), "stl", target)

    assert text.path.read_bytes().startswith(start)
    assert not binary.path.read_bytes().startswith(start)
    assert is_box(loaded(text.path))


async def test_ascii_stl_is_read(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "text.stl"
    path.write_bytes(models.ascii_stl())
    (product,) = await run_job(meshes, path, "stl", "stl")

    assert is_box(loaded(product.path))
    assert product.path.stat().st_size == 84 + 12 * 50


@pytest.mark.parametrize("target", ["ply", "glb", "obj"])
async def test_colours_are_kept_where_supported(meshes: Meshes, run_job: RunJob, tmp_path: Path, target: str) -> None:
    path = tmp_path / "red.ply"
    path.write_bytes(models.ply((200, 30, 40)))
    (product,) = await run_job(meshes, path, "ply", target)

    colours = loaded(product.path).visual.vertex_colors
    assert numpy.abs(colours[:, :3].astype(int) - (200, 30, 40)).max() <= 1


async def test_material_becomes_vertex_colours(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    (product,) = await run_job(meshes, written(tmp_path, "glb"), "glb", "ply")

    assert loaded(product.path).visual.vertex_colors[0][:3].tolist() == [255, 0, 0]


async def test_gltf_as_glb_keeps_material_and_names(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    (product,) = await run_job(meshes, written(tmp_path, "gltf"), "gltf", "glb")

    with product.path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type="glb")
    (mesh,) = scene.geometry.values()
    assert mesh.visual.material.baseColorFactor.tolist() == [255, 0, 0, 255]
    assert "box" in scene.graph.nodes_geometry


async def test_parts_of_one_name_are_both_kept(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = models.package(tmp_path / "two.3mf", names=("box", "box", "a &amp; &lt;b>"))
    (glb,) = await run_job(meshes, path, "3mf", "glb")
    (again,) = await run_job(meshes, path, "3mf", "3mf")

    assert len(loaded(glb.path).faces) == 36
    assert loaded(again.path).extents == pytest.approx((220, 30, 40))


async def test_triangulated_concave_polygon_keeps_its_area(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    """A triangle fan from the first corner would cover the notch."""
    path = tmp_path / "corner.obj"
    path.write_text("v 2 0 0\nv 2 1 0\nv 1 1 0\nv 1 2 0\nv 0 2 0\nv 0 0 0\nf 1 2 3 4 5 6\n")
    (product,) = await run_job(meshes, path, "obj", "stl")

    assert loaded(product.path).area == pytest.approx(3.0)


async def test_tiny_model_keeps_its_digits_in_text(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "tiny.glb"
    path.write_bytes(models.glb(nodes=[{"mesh": 0, "scale": [1e-6, 1e-6, 1e-6]}]))
    (product,) = await run_job(meshes, path, "glb", "obj")

    assert is_box(loaded(product.path), 1e-9)


POINTS = b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
POINTS += b"end_header\n0 0 0\n"
EMPTY = [("ply", POINTS), ("stl", b"solid nothing\nendsolid nothing\n"), ("obj", b"v 0 0 0\nv 1 0 0\nl 1 2\n")]


@pytest.mark.parametrize(("kind", "content"), EMPTY)
async def test_source_without_surface_is_refused(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, kind: str, content: bytes
) -> None:
    path = tmp_path / f"empty.{kind}"
    path.write_bytes(content)
    with pytest.raises(BadSource) as caught:
        await run_job(meshes, path, kind, "glb")

    assert caught.value.stable_code in {"source_empty", "source_corrupt"}


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "http://127.0.0.1:9/a.bin", "../../secret.bin", "a.bin"])
async def test_gltf_with_external_files_is_refused_unread(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, uri: str
) -> None:
    """I13."""
    path = tmp_path / "foreign.gltf"
    path.write_bytes(models.gltf(uri))
    with pytest.raises(BadSource, match="refers to another file") as caught:
        await run_job(meshes, path, "gltf", "stl")

    assert caught.value.stable_code == "source_incomplete"


async def test_obj_material_file_is_not_read(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "foreign.obj"
    path.write_bytes(models.obj("mtllib ../../../etc/passwd\nusemtl root\n"))
    (product,) = await run_job(meshes, path, "obj", "glb")

    assert b"root:" not in product.path.read_bytes()
    assert is_box(loaded(product.path))


BROKEN = [
    ("stl", models.stl()[:300]),
    ("stl", b"x" * 80 + struct.pack("<I", 2**32 - 1) + bytes(50)),
    ("ply", models.ply().replace(b"vertex 8", b"vertex 4000000000")),
    ("ply", models.ply().replace(b"face 12", b"face -1")),
    ("ply", models.ply().replace(b"3 0 1 3", b"3 0 1 99")),
    ("off", models.off().replace(b"8 6 0", b"8 600000 0")),
    ("obj", models.obj().replace(b"f 1 ", b"f 999 ")),
    ("obj", b"f 1 2 3\n"),
    ("glb", models.glb()[:200]),
    ("glb", b"glTF" + bytes(40)),
    ("glb", models.glb(accessors=[{"bufferView": 9, "componentType": 5126, "count": 8, "type": "VEC3"}])),
    ("glb", models.glb(nodes=[{"mesh": 0, "scale": [float("inf"), 1, 1]}])),
    ("gltf", b'{"asset": {"version": "2.0"}, "buffers": 3, "meshes": [1]}'),
    ("dae", models.dae()[:400]),
    ("fbx", models.fbx()[:300]),
    ("3ds", models.studio()[:100]),
    ("3mf", b"PK\x03\x04" + bytes(100)),
]


@pytest.mark.parametrize(("kind", "content"), BROKEN, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(BROKEN)])
async def test_broken_truncated_or_lying_source_is_corrupt(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, kind: str, content: bytes
) -> None:
    """I13."""
    path = tmp_path / f"broken.{kind}"
    path.write_bytes(content)
    with pytest.raises(BadSource):
        await run_job(meshes, path, kind, "stl")


async def test_coordinate_that_is_no_number_is_corrupt(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "nan.stl"
    path.write_bytes(models.stl()[:96] + struct.pack("<f", float("nan")) + models.stl()[100:])
    with pytest.raises(CorruptSource, match="not numbers"):
        await run_job(meshes, path, "stl", "obj")


@pytest.mark.parametrize("kind", ["stl", "ply", "glb", "3mf", "obj"])
async def test_too_many_faces_are_refused(meshes: Meshes, run_job: RunJob, tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceTooLarge, match="12 faces; at most 11 are allowed"):
        await run_job(meshes, written(tmp_path, kind), kind, "off", limits=Limits(wall_s=60, cpu_s=60, faces=11))


async def test_component_bomb_is_too_large(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    """I13: each component holds ten of the next, down to a box."""
    levels = "".join(
        f'<object id="{n + 1}"><components>{f"<component objectid={chr(34)}{n}{chr(34)}/>" * 10}</components></object>'
        for n in range(1, 10)
    )
    path = models.package(tmp_path / "bomb.3mf", build=levels + '|<item objectid="10"/>')
    with pytest.raises(SourceTooLarge):
        await run_job(meshes, path, "3mf", "stl")


async def test_package_that_contains_itself_is_refused(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    circle = '<object id="9"><components><component objectid="9"/></components></object>|<item objectid="9"/>'
    with pytest.raises(SourceTooLarge, match="nested"):
        await run_job(meshes, models.package(tmp_path / "circle.3mf", build=circle), "3mf", "stl")


@pytest.mark.parametrize("limits", [{"entries": 0}, {"unpacked_bytes": 500}])
async def test_package_over_a_limit_is_too_large(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, limits: dict[str, int]
) -> None:
    with pytest.raises(SourceTooLarge):
        await run_job(meshes, written(tmp_path, "3mf"), "3mf", "stl", limits=Limits(wall_s=60, cpu_s=60, **limits))


async def test_package_entities_are_not_resolved(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = models.package(tmp_path / "plain.3mf")
    with zipfile.ZipFile(path) as archive:
        body = archive.read("3D/3dmodel.model").decode()
    head = '<!DOCTYPE model [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    with zipfile.ZipFile(tmp_path / "xxe.3mf", "w") as archive:
        archive.writestr("3D/3dmodel.model", head + body.replace('name="box"', "").replace("<mesh>", "&a;<mesh>"))
    (product,) = await run_job(meshes, tmp_path / "xxe.3mf", "3mf", "3mf")

    assert b"root:" not in product.path.read_bytes()


async def test_converting_reports_growing_progress_with_stages(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    reports: list[tuple[float | None, str]] = []
    await run_job(meshes, written(tmp_path, "obj"), "obj", "stl", report=lambda *said: reports.append(said))

    percents = [percent for percent, _ in reports if percent is not None]
    assert percents == sorted(percents)
    assert {"reading the model", "writing the model", "checking the model"} <= {stage for _, stage in reports}


BOX = Figures(faces=12, degenerate=0, is_finite=True, box=((0, 0, 0), (20, 30, 40)), area=5200.0, volume=24000.0)
OTHERS: list[dict[str, Any]] = [
    {"faces": 11},
    {"is_finite": False},
    {"box": None},
    {"box": ((0, 0, 0), (20, 30, 41))},
    {"area": 5300.0},
    {"volume": 23000.0},
]


@pytest.mark.parametrize("change", OTHERS)
def test_result_with_other_figures_is_refused(change: dict[str, Any]) -> None:
    """C6: box, volume and counts are those of the source."""
    import msgspec

    check(BOX, msgspec.structs.replace(BOX, volume=-24000.0))
    with pytest.raises(OutputInvalid):
        check(BOX, msgspec.structs.replace(BOX, **change))


HOSTILE = ["bomb.3mf", "stl_lies.stl", "ply_lies.ply", "obj_bad_index.obj", "truncated_half.glb", "truncated_half.stl"]
HOSTILE += ["bitflips.glb", "gltf_file.gltf", "gltf_http.gltf"]


@pytest.mark.corpus
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_model_is_refused_within_its_limits(
    meshes: Meshes, run_job: RunJob, corpus: Path, name: str
) -> None:
    """I13."""
    with pytest.raises(BadSource):
        await run_job(meshes, corpus / "hostile_made" / name, name.rpartition(".")[2], "stl", limits=SHORT)


REAL = ["trimesh__cube_and_sphere_same_name.3mf", "assimp__cube_gears_prod_req.3mf", "trimesh__cubevc.glb"]
REAL += ["assimp__cubes_with_outofrange_float.fbx", "trimesh__blue_cube.dae", "trimesh__fixed_top.ply"]


@pytest.mark.corpus
@pytest.mark.parametrize("name", REAL)
async def test_real_model_converts_to_a_readable_one(meshes: Meshes, run_job: RunJob, corpus: Path, name: str) -> None:
    """C6: files on which assimp crashes, loses parts or writes broken colours."""
    (product,) = await run_job(meshes, corpus / "3d_mesh" / name, name.rpartition(".")[2], "ply")

    assert len(loaded(product.path).faces) > 10
