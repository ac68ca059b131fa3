"""The GLB of an exact model: matt surfaces in the source's colours, named nodes, one mesh for equal parts."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import trimesh

from converto_engines.models.cad import Cad
from tests.engines.conftest import RunJob
from tests.engines.models.assemblies import assembly

COLOUR = (0.5, 0.25, 0.0)
"""As a screen shows it (sRGB); glTF is linear."""


async def gltf_of(cad: Cad, run_job: RunJob, source: Path) -> tuple[Path, dict[str, Any]]:
    (product,) = await run_job(cad, source, "step", "glb")
    body = product.path.read_bytes()
    return product.path, json.loads(body[20 : 20 + struct.unpack("<I", body[12:16])[0]])


async def test_surface_is_matt_and_has_the_colour_of_the_source(cad: Cad, run_job: RunJob, tmp_path: Path) -> None:
    source = assembly(tmp_path / "block.step", colour=COLOUR)
    _, gltf = await gltf_of(cad, run_job, source)

    assert "block" in {node.get("name") for node in gltf["nodes"]}
    (material,) = gltf["materials"]
    surface = material["pbrMetallicRoughness"]
    linear = [((number + 0.055) / 1.055) ** 2.4 if number else 0.0 for number in COLOUR]
    assert surface["baseColorFactor"] == pytest.approx([*linear, 1.0], abs=0.005)
    assert surface["metallicFactor"] == 0
    assert surface["roughnessFactor"] == pytest.approx(0.6)


async def test_uncoloured_part_is_matt_grey(cad: Cad, run_job: RunJob, tmp_path: Path) -> None:
    _, gltf = await gltf_of(cad, run_job, assembly(tmp_path / "grey.step", colour=None))

    parts = [part for mesh in gltf["meshes"] for part in mesh["primitives"]]
    surfaces = [gltf["materials"][part["material"]]["pbrMetallicRoughness"] for part in parts]
    assert surfaces
    assert all(surface["metallicFactor"] == 0 and surface["baseColorFactor"][0] < 1 for surface in surfaces)


@pytest.mark.parametrize(
    ("instances", "names"),
    [
        (("left foot", "right foot"), {"left foot", "right foot"}),  # instances have names of their own
        (("NAUO1", "NAUO2"), {"block"}),  # mere numbers: the name of the part says more
        ((None, None), {"block"}),
    ],
)
async def test_nodes_have_the_name_of_the_instance_or_part(
    cad: Cad, run_job: RunJob, tmp_path: Path, instances: tuple[str | None, ...], names: set[str]
) -> None:
    source = assembly(tmp_path / "two.step", instances=instances)
    path, gltf = await gltf_of(cad, run_job, source)

    assert {node["name"] for node in gltf["nodes"] if "mesh" in node} == names
    assert "=>[" not in json.dumps(gltf)
    with path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type="glb")
    assert sorted(scene.extents.tolist()) == pytest.approx([0.02, 0.03, 0.06])


async def test_equal_parts_share_one_mesh(cad: Cad, run_job: RunJob, tmp_path: Path) -> None:
    path, gltf = await gltf_of(cad, run_job, assembly(tmp_path / "two.step", instances=("a", "b")))

    assert len(gltf["meshes"]) == 1
    assert len([node for node in gltf["nodes"] if "mesh" in node]) == 2
    assert path.stat().st_size < 5000


@pytest.mark.corpus
async def test_real_assembly_has_its_colours_names_and_meshes(cad: Cad, run_job: RunJob, found: Path) -> None:
    _, gltf = await gltf_of(cad, run_job, found / "asm.step")

    colours = [material["pbrMetallicRoughness"]["baseColorFactor"][:3] for material in gltf["materials"]]
    assert sorted(colours) == [[0, 0, 1], [1, 0, 0]]
    assert sorted(node["name"] for node in gltf["nodes"] if "mesh" in node) == ["BlueBall", "RedBox", "RedBox"]
    assert len(gltf["meshes"]) == 2
