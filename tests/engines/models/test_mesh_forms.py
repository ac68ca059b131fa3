"""Unusual forms of mesh files that readers refuse or misread: STL, OBJ, 3MF and COLLADA from real programs."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import trimesh

from converto_core.errors import BadSource, CorruptSource
from converto_engines.models.meshes import Meshes
from converto_engines.sniffing.sniff import sniff
from tests.engines.conftest import RunJob
from tests.engines.models import model_files as models


def loaded(path: Path) -> trimesh.Trimesh:
    with path.open("rb") as file:
        mesh = trimesh.load_mesh(file, file_type=path.suffix[1:], process=False)
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


def colours_of(path: Path) -> set[tuple[int, ...]]:
    """Red, green and blue of the corners, in steps of 8, as the 5 bits of an STL are not exact."""
    return {tuple(colour) for colour in (loaded(path).visual.vertex_colors[:, :3] >> 3).tolist()}


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "capitals": lambda text: text.upper(),
    "carriage returns": lambda text: text.replace(b"\n", b"\r"),
    "both": lambda text: text.upper().replace(b"\n", b"\r"),
    "Windows": lambda text: text.replace(b"\n", b"\r\n"),
    "indented": lambda text: b"  \n" + text,
}


@pytest.mark.parametrize("form", FORMS)
async def test_text_stl_of_any_form_is_read(meshes: Meshes, run_job: RunJob, tmp_path: Path, form: str) -> None:
    path = tmp_path / "text.stl"
    path.write_bytes(FORMS[form](models.ascii_stl()))
    (product,) = await run_job(meshes, path, "stl", "ply")

    assert loaded(product.path).volume == pytest.approx(models.VOLUME)


async def test_bytes_after_the_last_facet_are_told(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    notes: list[str] = []
    path = tmp_path / "trailing.stl"
    path.write_bytes(models.stl() + b"trailing")
    (product,) = await run_job(meshes, path, "stl", "glb", note=notes.append)

    assert len(loaded(product.path).faces) == 12
    assert notes == ["The file has 8 more bytes after its last facet. They were left out."]


@pytest.mark.parametrize("target", ["ply", "glb"])
@pytest.mark.parametrize(
    ("header", "attributes", "colours"),
    [
        (b"COLOR=\xff\x00\x00\xff", (0x7C00, 0x8000), {(0, 0, 31), (31, 0, 0)}),  # own blue, and the part's red
        (b"a box", (0xFC00, 0x801F), {(31, 0, 0), (0, 0, 31)}),  # the other program has red where this has blue
        (b"a box", (0xFC00, 0xFC00), {(31, 0, 0)}),
    ],
)
async def test_facet_colours_are_kept(
    meshes: Meshes,
    run_job: RunJob,
    tmp_path: Path,
    target: str,
    header: bytes,
    attributes: tuple[int, int],
    colours: set[tuple[int, ...]],
) -> None:
    path = tmp_path / "colour.stl"
    body = bytearray(models.stl())
    body[:80] = header.ljust(80)
    for face in range(12):
        struct.pack_into("<H", body, 84 + 50 * face + 48, attributes[face % 2])
    path.write_bytes(body)
    (product,) = await run_job(meshes, path, "stl", target)

    assert colours_of(product.path) == colours
    assert len(loaded(product.path).vertices) == (8 if len(colours) == 1 else 36)


@pytest.mark.parametrize("target", ["ply", "glb", "obj"])
async def test_corner_colours_of_an_obj_are_kept(meshes: Meshes, run_job: RunJob, tmp_path: Path, target: str) -> None:
    path = tmp_path / "colours.obj"
    rows = ["v {} {} {} {} {} {}".format(*corner, *(n > 0 for n in corner)) for corner in models.CORNERS]
    rows = [row.replace("True", "1").replace("False", "0") for row in rows]
    path.write_text("\n".join([*rows, *("f {} {} {}".format(*(n + 1 for n in face)) for face in models.FACES), ""]))
    (product,) = await run_job(meshes, path, "obj", target)

    mesh = loaded(product.path)
    assert numpy.array_equal(mesh.visual.vertex_colors[:, :3] > 128, mesh.vertices > 1)
    assert set(mesh.visual.vertex_colors[:, :3].ravel().tolist()) == {0, 255}


@pytest.mark.parametrize("target", ["ply", "glb"])
async def test_corner_colours_of_an_off_are_kept(meshes: Meshes, run_job: RunJob, tmp_path: Path, target: str) -> None:
    rows = ["{} {} {} 200 30 40 255".format(*corner) for corner in models.CORNERS]
    rows += ["3 {} {} {}".format(*face) for face in models.FACES]
    path = tmp_path / "colours.off"
    path.write_text("\n".join(["COFF", "8 12 0", *rows, ""]))
    (product,) = await run_job(meshes, path, "off", target)

    assert colours_of(product.path) == {(200 >> 3, 30 >> 3, 40 >> 3)}


NEGATIVE = "mtllib x.mtl\no cube\n" + "".join("v {} {} {}\n".format(*corner) for corner in models.CORNERS)
NEGATIVE += "".join("f {} {} \\\n{} {}\n".format(*(n - 8 for n in quad)) for quad in models.QUADS)


async def test_obj_with_negative_indices_and_broken_lines(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "negative.obj"
    path.write_text(NEGATIVE)
    (product,) = await run_job(meshes, path, "obj", "stl")

    assert sniff(NEGATIVE.encode(), filename="negative.obj").format == "obj"
    assert loaded(product.path).volume == pytest.approx(models.VOLUME)


@pytest.mark.parametrize("is_nested", [True, False])
async def test_mirrored_part_of_a_package_faces_outwards(
    meshes: Meshes, run_job: RunJob, tmp_path: Path, is_nested: bool
) -> None:
    mirrored = '{}objectid="1" transform="-1 0 0 0 1 0 0 0 1 0 0 0"/>'
    beside = '{}objectid="1" transform="1 0 0 0 1 0 0 0 1 100 0 0"/>'
    build = f"{mirrored}{beside}".format("<item ", "<item ")
    if is_nested:
        parts = f"{mirrored}{beside}".format("<component ", "<component ")
        build = f'<object id="9"><components>{parts}</components></object>|<item objectid="9"/>'
    else:
        build = f" |{build}"
    (product,) = await run_job(meshes, models.package(tmp_path / "two.3mf", build=build), "3mf", "stl")

    assert loaded(product.path).volume == pytest.approx(2 * models.VOLUME)


async def test_package_that_requires_beams_is_not_supported(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    namespace = "http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"
    path = models.package(tmp_path / "beams.3mf", unit=f'millimeter" xmlns:b="{namespace}" requiredextensions="b')
    with pytest.raises(BadSource, match="beamlattice") as caught:
        await run_job(meshes, path, "3mf", "stl")

    assert caught.value.stable_code == "source_unsupported"


async def test_collada_with_textures_elsewhere_keeps_its_surface(
    meshes: Meshes, run_job: RunJob, tmp_path: Path
) -> None:
    path = tmp_path / "textured.dae"
    path.write_text(textured_dae())
    for target in ("stl", "glb"):
        notes: list[str] = []
        (product,) = await run_job(meshes, path, "dae", target, note=notes.append)

        assert len(loaded(product.path).faces) == 12
        assert any("bricks.png" in note for note in notes)


def textured_dae() -> str:
    effect = """<library_images><image id="i"><init_from>walls/bricks.png</init_from></image></library_images>
<library_effects><effect id="e"><profile_COMMON>
<newparam sid="s"><surface type="2D"><init_from>i</init_from></surface></newparam>
<newparam sid="t"><sampler2D><source>s</source></sampler2D></newparam>
<technique sid="c"><lambert><diffuse><texture texture="t" texcoord="UV"/></diffuse></lambert></technique>
</profile_COMMON></effect></library_effects>
<library_materials><material id="m" name="m"><instance_effect url="#e"/></material></library_materials>
<library_geometries>"""
    bound = """<instance_geometry url="#g"><bind_material><technique_common>
<instance_material symbol="m" target="#m"/></technique_common></bind_material></instance_geometry>"""
    text = models.dae().decode().replace("<library_geometries>", effect)
    text = text.replace('<triangles count="12">', '<triangles count="12" material="m">')
    return text.replace('<instance_geometry url="#g"/>', bound)


async def test_stl_without_any_area_is_damaged(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "flat.stl"
    path.write_bytes(b"flat".ljust(80) + struct.pack("<I", 3) + struct.pack("<12fH", *[0] * 3, *[1] * 9, 0) * 3)
    with pytest.raises(CorruptSource, match="area"):
        await run_job(meshes, path, "stl", "glb")


REAL = [
    ("assimp__regr01.dae", 172, "default.png", [0.0042, 0.0129, 0.0162]),
    ("assimp__box_nested_animation_4286.dae", 12, "Only the surface", [2.0, 2.0, 2.0]),
]


@pytest.mark.corpus
@pytest.mark.parametrize("target", ["stl", "glb"])
@pytest.mark.parametrize(("name", "faces", "note", "size"), REAL)
async def test_collada_that_was_refused_is_read(
    meshes: Meshes,
    run_job: RunJob,
    found: Path,
    name: str,
    faces: int,
    note: str,
    size: list[float],
    target: str,
) -> None:
    notes: list[str] = []
    (product,) = await run_job(meshes, found / name, "dae", target, note=notes.append)

    with product.path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type=target)
    assert sum(len(mesh.faces) for mesh in scene.dump()) == faces
    assert sorted(scene.extents.tolist()) == pytest.approx(size, rel=0.001)
    assert note in "".join(notes)


async def test_collada_with_a_wrong_count_has_its_own_corners(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    """assimp would read memory beyond the numbers that it believes to exist."""
    path = tmp_path / "count.dae"
    path.write_bytes(models.dae().replace(b'count="24"', b'count="3"'))
    (product,) = await run_job(meshes, path, "dae", "stl", units="cm")

    assert loaded(product.path).extents == pytest.approx(models.SIZE)
    assert loaded(product.path).volume == pytest.approx(models.VOLUME)


async def test_collada_with_too_few_numbers_is_corrupt(meshes: Meshes, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "few.dae"
    path.write_bytes(models.dae().replace(b'count="8" stride="3"', b'count="9" stride="3"'))
    with pytest.raises(CorruptSource, match="more coordinates"):
        await run_job(meshes, path, "dae", "stl")
