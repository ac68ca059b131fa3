"""The box of 20 × 30 × 40 in every format of models. Its fact is the length of one unit of the results, see `Box`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.engines.models import model_files
from tests.engines.pairs.pair import Sample


class Box(NamedTuple):
    """What results hold: coordinates times `scale` (times `in_glb` more in glTF, which is in metres), red or not."""

    scale: float = 1.0
    in_glb: float = 1.0
    is_red: bool = False


def written(content: Callable[[], bytes]) -> Callable[[Path], object]:
    """A maker that writes this content."""
    return lambda path: path.write_bytes(content())


def exact(path: Path) -> None:
    """Write the box with the CAD kernel."""
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox
    from OCP.BRepTools import BRepTools
    from OCP.IGESControl import IGESControl_Writer
    from OCP.STEPControl import STEPControl_StepModelType, STEPControl_Writer

    box: Any = BRepPrimAPI_MakeBox(*model_files.SIZE).Shape()
    if path.suffix == ".brep":
        BRepTools.Write_s(box, str(path))
    elif path.suffix == ".step":
        step = STEPControl_Writer()
        step.Transfer(box, STEPControl_StepModelType.STEPControl_AsIs)
        step.Write(str(path))
    else:
        iges = IGESControl_Writer("MM", 1)
        iges.AddShape(box)
        iges.Write(str(path))


MESHES = (
    Sample("stl", "stl", "mesh", written(model_files.stl), facts=Box()),
    Sample("obj", "obj", "mesh", written(model_files.obj), facts=Box()),
    Sample("ply", "ply", "mesh", written(lambda: model_files.ply((255, 0, 0))), facts=Box(is_red=True)),
    Sample("off", "off", "mesh", written(model_files.off), facts=Box()),
    Sample("glb", "glb", "mesh", written(model_files.glb), facts=Box(0.001, is_red=True)),
)
OTHER_MESHES = (
    Sample("gltf", "gltf", "mesh", written(model_files.gltf), facts=Box(0.001, is_red=True)),
    Sample("3mf", "3mf", "mesh", model_files.package, facts=Box(in_glb=0.001)),
    Sample("dae", "dae", "mesh", written(model_files.dae), facts=Box(0.01)),
    Sample("3ds", "3ds", "mesh", written(model_files.studio), facts=Box()),
    Sample("fbx", "fbx", "mesh", written(model_files.fbx), facts=Box()),
)
EXACT = tuple(Sample(name, name, "exact model", exact, facts=Box(in_glb=0.001)) for name in ("step", "iges", "brep"))
