"""Exact models to meshes and to each other; the kernel makes the samples, trimesh reads the meshes.

Behaviours C6 and I13.
"""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
import trimesh

from converto_core.errors import BadOptions, BadSource, EngineTimeout, LimitExceeded, OutputInvalid, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.models.cad import Cad, Exact, check
from converto_engines.models.figures import Figures
from tests.assets.bracket import bracket
from tests.engines.conftest import RunJob
from tests.engines.models.test_meshes import package_read

MESHES = ("stl", "obj", "glb", "ply", "3mf")
EXACT = ("step", "iges", "brep")
RADIUS, HEIGHT = 10.0, 30.0
VOLUME = math.pi * RADIUS**2 * HEIGHT
"""Volume of the cylinder that most tests convert; it stands on the origin with its axis along z."""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cylinder as STEP (also in inches), IGES and BREP, inside out as BREP, and a wire without surface."""
    from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeEdge, BRepBuilderAPI_MakeWire
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeCylinder
    from OCP.BRepTools import BRepTools
    from OCP.gp import gp_Pnt
    from OCP.IGESControl import IGESControl_Writer
    from OCP.Interface import Interface_Static
    from OCP.STEPControl import STEPControl_StepModelType, STEPControl_Writer

    folder = tmp_path_factory.mktemp("parts")
    cylinder = BRepPrimAPI_MakeCylinder(RADIUS, HEIGHT).Shape()
    for name, unit in (("cylinder.step", "MM"), ("inches.step", "INCH")):
        writer = STEPControl_Writer()
        Interface_Static.SetCVal_s("write.step.unit", unit)
        writer.Transfer(cylinder, STEPControl_StepModelType.STEPControl_AsIs)
        writer.Write(str(folder / name))
    iges = IGESControl_Writer("MM", 1)
    iges.AddShape(cylinder)
    iges.Write(str(folder / "cylinder.iges"))
    BRepTools.Write_s(cylinder, str(folder / "cylinder.brep"))
    BRepTools.Write_s(cylinder.Reversed(), str(folder / "inside-out.brep"))
    edge = BRepBuilderAPI_MakeEdge(gp_Pnt(0, 0, 0), gp_Pnt(10, 0, 0)).Edge()
    BRepTools.Write_s(BRepBuilderAPI_MakeWire(edge).Wire(), str(folder / "wire.brep"))
    return folder


def loaded(path: Path) -> trimesh.Trimesh:
    if path.suffix == ".3mf":
        return package_read(path)[1]
    with path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type=path.suffix[1:], process=False)
    mesh = trimesh.util.concatenate(scene.dump())
    mesh.merge_vertices(merge_norm=True, merge_tex=True)
    return mesh


def meshed(path: Path) -> trimesh.Trimesh:
    """The mesh that the kernel makes of an exact model in this process, which saves a second conversion."""
    from OCP.BRep import BRep_Builder
    from OCP.BRepMesh import BRepMesh_IncrementalMesh
    from OCP.BRepTools import BRepTools
    from OCP.IGESControl import IGESControl_Reader
    from OCP.STEPControl import STEPControl_Reader
    from OCP.StlAPI import StlAPI_Writer
    from OCP.TopoDS import TopoDS_Shape

    if path.suffix == ".brep":
        shape: Any = TopoDS_Shape()
        assert BRepTools.Read_s(shape, str(path), BRep_Builder())
    else:
        reader: Any = STEPControl_Reader() if path.suffix == ".step" else IGESControl_Reader()
        reader.ReadFile(str(path))
        reader.TransferRoots()
        shape = reader.OneShape()
    BRepMesh_IncrementalMesh(shape, 0.03, False, math.radians(20), True)
    assert StlAPI_Writer().Write(shape, str(path.with_suffix(".stl")))
    return loaded(path.with_suffix(".stl"))


def is_cylinder(mesh: trimesh.Trimesh, factor: float = 1.0, *, within: float = 0.02) -> bool:
    sides = sorted(numpy.array(mesh.extents) / factor)
    return (
        bool(numpy.allclose(sides, [2 * RADIUS, 2 * RADIUS, HEIGHT], rtol=0.01))
        and abs(abs(mesh.volume) / factor**3 - VOLUME) < within * VOLUME
    )


@pytest.mark.parametrize("target", MESHES)
@pytest.mark.parametrize("source", EXACT)
async def test_mesh_has_box_and_volume_of_the_exact_part(
    cad: Cad, run_job: RunJob, parts: Path, source: str, target: str
) -> None:
    """C6."""
    (product,) = await run_job(cad, parts / f"cylinder.{source}", source, target)

    result = loaded(product.path)
    assert product.path.suffix == f".{target}"
    assert is_cylinder(result, 0.001 if target == "glb" else 1.0)
    assert result.is_watertight or source == "iges"
    assert result.bounds[0][1 if target == "glb" else 2] == pytest.approx(0, abs=1e-6)  # stands on its foot
    assert result.extents[1 if target == "glb" else 2] == max(result.extents)


@pytest.mark.parametrize("target", EXACT)
@pytest.mark.parametrize("source", EXACT)
async def test_rewritten_part_has_the_same_mesh(
    cad: Cad, run_job: RunJob, parts: Path, source: str, target: str
) -> None:
    """C6."""
    (product,) = await run_job(cad, parts / f"cylinder.{source}", source, target)

    assert is_cylinder(meshed(product.path))


async def test_step_in_inches_is_read_as_such(cad: Cad, run_job: RunJob, parts: Path) -> None:
    (product,) = await run_job(cad, parts / "inches.step", "step", "stl")

    assert b"INCH" in (parts / "inches.step").read_bytes()
    assert is_cylinder(loaded(product.path))


async def test_demo_bracket_has_its_volume(cad: Cad, run_job: RunJob, tmp_path: Path) -> None:
    source = tmp_path / "bracket.step"
    source.write_bytes(bracket())
    (product,) = await run_job(cad, source, "step", "stl")

    result = loaded(product.path)
    assert result.is_watertight
    assert result.extents == pytest.approx((60, 40, 30))
    assert result.volume == pytest.approx((60 * 8 + 8 * 32) * 30)


@pytest.mark.parametrize(("units", "factor"), [("cm", 0.1), ("m", 0.001), ("inch", 1 / 25.4)])
@pytest.mark.parametrize("target", ["stl", "3mf"])
async def test_mesh_is_in_the_chosen_units(
    cad: Cad, run_job: RunJob, parts: Path, target: str, units: str, factor: float
) -> None:
    (product,) = await run_job(cad, parts / "cylinder.step", "step", target, units=units)

    assert is_cylinder(loaded(product.path), factor)
    if target == "3mf":
        assert package_read(product.path)[0] == {"cm": "centimeter", "m": "meter", "inch": "inch"}[units]


@pytest.mark.parametrize(("target", "sign"), [("step", b"CENTI"), ("iges", b"2HCM")])
async def test_exact_file_states_the_chosen_units(
    cad: Cad, run_job: RunJob, parts: Path, target: str, sign: bytes
) -> None:
    (product,) = await run_job(cad, parts / "cylinder.step", "step", target, units="cm")

    assert sign in product.path.read_bytes()
    assert is_cylinder(meshed(product.path))  # the same part, whatever its numbers


async def test_brep_is_scaled_to_the_chosen_units(cad: Cad, run_job: RunJob, parts: Path) -> None:
    (product,) = await run_job(cad, parts / "cylinder.step", "step", "brep", units="cm")

    assert is_cylinder(meshed(product.path), 0.1)


async def test_other_units_for_gltf_are_refused(cad: Cad, run_job: RunJob, parts: Path) -> None:
    with pytest.raises(BadOptions, match="metres"):
        await run_job(cad, parts / "cylinder.step", "step", "glb", units="mm")


FINER = [
    ({"relative_tolerance": 2.0, "angle": 60}, {"relative_tolerance": 0.01, "angle": 60}),
    ({"tolerance": 1.0, "angle": 60}, {"tolerance": 0.001, "angle": 60}),
    ({"angle": 45}, {"angle": 3}),
]


@pytest.mark.parametrize(("coarse", "fine"), FINER)
async def test_finer_tolerance_gives_more_faces_nearer_the_surface(
    cad: Cad, run_job: RunJob, parts: Path, coarse: dict[str, Any], fine: dict[str, Any]
) -> None:
    (rough,) = await run_job(cad, parts / "cylinder.step", "step", "stl", **coarse)
    (smooth,) = await run_job(cad, parts / "cylinder.step", "step", "stl", **fine)

    one, other = loaded(rough.path), loaded(smooth.path)
    assert len(other.faces) > 2 * len(one.faces)
    assert abs(other.volume - VOLUME) < abs(one.volume - VOLUME)


async def test_ascii_stl_is_text(cad: Cad, run_job: RunJob, parts: Path) -> None:
    (text,) = await run_job(cad, parts / "cylinder.step", "step", "stl", encoding="ascii", units="cm")

    assert text.path.read_bytes().startswith(b"solid")
    assert is_cylinder(loaded(text.path), 0.1)


async def test_inside_out_solid_converts(cad: Cad, run_job: RunJob, parts: Path) -> None:
    (product,) = await run_job(cad, parts / "inside-out.brep", "brep", "stl")

    assert is_cylinder(loaded(product.path))


@pytest.mark.parametrize("target", ["stl", "glb", "3mf"])
async def test_wire_has_no_surface_to_mesh(cad: Cad, run_job: RunJob, parts: Path, target: str) -> None:
    with pytest.raises(BadSource, match="no surface to mesh") as caught:
        await run_job(cad, parts / "wire.brep", "brep", target)

    assert caught.value.stable_code == "source_empty"


async def test_rewritten_wire_is_kept(cad: Cad, run_job: RunJob, parts: Path) -> None:
    (product,) = await run_job(cad, parts / "wire.brep", "brep", "step")

    assert b"ISO-10303-21" in product.path.read_bytes()[:20]


@pytest.mark.parametrize("kept", [0.1, 0.5])
@pytest.mark.parametrize("kind", EXACT)
async def test_truncated_file_never_gives_a_wrong_result(
    cad: Cad, run_job: RunJob, parts: Path, tmp_path: Path, kind: str, kept: float
) -> None:
    """I13."""
    body = (parts / f"cylinder.{kind}").read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(body[: int(len(body) * kept)])
    with pytest.raises(BadSource):
        await run_job(cad, cut, kind, "stl")


@pytest.mark.parametrize("kind", EXACT)
async def test_other_content_is_the_files_fault(cad: Cad, run_job: RunJob, tmp_path: Path, kind: str) -> None:
    other = tmp_path / f"other.{kind}"
    other.write_text("ISO-10303-21;\nHEADER;\nENDSEC;\nDATA;\n#1=NONSENSE(#1,#2);\nENDSEC;\nEND-ISO-10303-21;\n")
    with pytest.raises(BadSource):
        await run_job(cad, other, kind, "glb")


async def test_too_many_faces_advise_a_coarser_tolerance(cad: Cad, run_job: RunJob, parts: Path) -> None:
    few = Limits(wall_s=60, cpu_s=60, faces=50)
    with pytest.raises(SourceTooLarge, match="coarser tolerance"):
        await run_job(cad, parts / "cylinder.step", "step", "stl", limits=few)


async def test_exploding_mesh_ends_at_its_limits_and_next_converts(cad: Cad, run_job: RunJob, parts: Path) -> None:
    """I13."""
    short = Limits(wall_s=0.2, cpu_s=60, memory_bytes=1024**3)
    with pytest.raises((EngineTimeout, LimitExceeded, SourceTooLarge)):
        await run_job(cad, parts / "cylinder.step", "step", "stl", tolerance=1e-5, angle=1, limits=short)
    (product,) = await run_job(cad, parts / "cylinder.step", "step", "stl")
    assert is_cylinder(loaded(product.path))


async def test_meshing_reports_growing_progress_with_stages(cad: Cad, run_job: RunJob, parts: Path) -> None:
    reports: list[tuple[float | None, str]] = []
    await run_job(cad, parts / "cylinder.step", "step", "3mf", report=lambda *said: reports.append(said))

    percents = [percent for percent, _ in reports if percent is not None]
    assert percents == sorted(percents)
    assert {"reading the model", "meshing the surface", "writing the model"} <= {stage for _, stage in reports}


CUBE = Exact(surfaces=6, solids=1, box=((0, 0, 0), (10, 10, 10)), size=17.3, area=600.0, volume=-1000.0)
MESH = Figures(faces=12, degenerate=0, is_finite=True, box=((0, 0, 0), (10, 10, 10)), area=600.0, volume=1000.0)
OTHERS: list[dict[str, Any]] = [
    {"faces": 0},
    {"is_finite": False},
    {"box": ((0, 0, 0), (10, 10, 11))},
    {"area": 500.0},
    {"volume": 900.0},
]


@pytest.mark.parametrize("change", OTHERS)
def test_mesh_outside_its_tolerance_is_refused(change: dict[str, Any]) -> None:
    """C6."""
    check(CUBE, MESH, 0.01, 20)
    with pytest.raises(OutputInvalid):
        check(CUBE, msgspec.structs.replace(MESH, **change), 0.01, 20)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["truncated_half.step", "zero.step"])
async def test_hostile_part_is_refused(cad: Cad, run_job: RunJob, corpus: Path, name: str) -> None:
    """I13."""
    with pytest.raises(BadSource):
        await run_job(cad, corpus / "hostile_made" / name, "step", "stl")


REAL = ["pythonocc-demos__as1-oc-214.stp", "occt__bearing.iges", "pythonocc-demos__splinecage.stp", "occt__face1.brep"]


@pytest.mark.corpus
@pytest.mark.parametrize("name", REAL)
async def test_real_part_becomes_a_readable_glb(cad: Cad, run_job: RunJob, corpus: Path, name: str) -> None:
    """C6: an assembly, one in tenths of millimetres, one with loose edges, one of a single face."""
    kind = {"stp": "step"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    (product,) = await run_job(cad, corpus / "3d_cad" / name, kind, "glb")

    assert len(loaded(product.path).faces) > 50
