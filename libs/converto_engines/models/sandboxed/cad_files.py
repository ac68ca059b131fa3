"""Exact models read, measured, meshed and written with OpenCASCADE. It is imported once its packages can be found."""

import math
import os
import re
from typing import Any

from OCP.Bnd import Bnd_Box
from OCP.BRep import BRep_Builder, BRep_Tool
from OCP.BRepBndLib import BRepBndLib
from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
from OCP.BRepGProp import BRepGProp
from OCP.BRepMesh import BRepMesh_IncrementalMesh
from OCP.BRepTools import BRepTools
from OCP.collections import IndexedDataMap_TCollection_AsciiString_TCollection_AsciiString as FileInfo
from OCP.collections import Sequence_TDF_Label
from OCP.gp import gp_Pnt, gp_Trsf
from OCP.GProp import GProp_GProps
from OCP.IFSelect import IFSelect_ReturnStatus
from OCP.IGESCAFControl import IGESCAFControl_Reader, IGESCAFControl_Writer
from OCP.IGESControl import IGESControl_Controller, IGESControl_Reader
from OCP.Interface import Interface_Static
from OCP.Message import Message_ProgressRange
from OCP.RWGltf import RWGltf_CafWriter
from OCP.RWMesh import RWMesh_CoordinateSystem
from OCP.STEPCAFControl import STEPCAFControl_Reader, STEPCAFControl_Writer
from OCP.STEPControl import STEPControl_Reader, STEPControl_StepModelType
from OCP.StlAPI import StlAPI_Writer
from OCP.TCollection import TCollection_AsciiString, TCollection_ExtendedString
from OCP.TDocStd import TDocStd_Document
from OCP.TopAbs import TopAbs_ShapeEnum
from OCP.TopExp import TopExp_Explorer
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS, TopoDS_Compound, TopoDS_Shape
from OCP.XCAFApp import XCAFApp_Application
from OCP.XCAFDoc import XCAFDoc_DocumentTool

from converto_engines.runtime.sandboxed.protocol import Refused

_METRES_PER_MM = 0.001
_MM_OF = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
_UNIT_WORDS = {"mm": "MM", "cm": "CM", "m": "M", "inch": "INCH"}


def version() -> str:
    """Version of the installed kernel."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    return ".".join(installed("cadquery-ocp-novtk").split(".")[:3])


def read(path: str, kind: str, *, with_names: bool) -> "Model":
    """The model of a file, in millimetres; refused when the kernel finds nothing in it.

    Names and colours need another reader, which takes longer.
    """
    try:
        model = Model(None, _shape(path, kind)) if kind == "brep" or not with_names else Model(*_document(path, kind))
    except Refused:
        raise
    except MemoryError:
        raise
    except Exception as error:  # the kernel's errors have no common base in Python
        raise Refused("corrupt", "") from error
    if model.shape is None or model.shape.IsNull():
        raise Refused("corrupt", "")
    return model


def _shape(path: str, kind: str) -> Any:
    if kind == "brep":
        _require_end(path)
        shape = TopoDS_Shape()
        if not BRepTools.Read_s(shape, path, BRep_Builder()):
            raise Refused("corrupt", "")
        return shape
    reader = STEPControl_Reader() if kind == "step" else IGESControl_Reader()
    _require_done(reader.ReadFile(path))
    reader.TransferRoots()
    return reader.OneShape()


def _require_end(path: str) -> None:
    """The kernel reads for ever behind the end of a BREP that was cut off: it has to end with its root shape."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
        if not _BREP_END.search(file.read()):
            raise Refused("corrupt", "The end of the model is missing. Please upload the complete file again")


_TAIL_BYTES = 400
_BREP_END = re.compile(rb"\*\s+[+-]\d+\s+\d+(?:\s+\d+)?\s*$")


def _document(path: str, kind: str) -> tuple[Any, Any]:
    document = _new_document()
    reader = STEPCAFControl_Reader() if kind == "step" else IGESCAFControl_Reader()
    reader.SetNameMode(True)
    reader.SetColorMode(True)
    _require_done(reader.ReadFile(path))
    reader.Transfer(document, Message_ProgressRange())
    roots = Sequence_TDF_Label()
    shapes = XCAFDoc_DocumentTool.ShapeTool_s(document.Main())
    shapes.GetFreeShapes(roots)
    found = [shapes.GetShape_s(roots.Value(number)) for number in range(1, roots.Length() + 1)]
    return document, found[0] if len(found) == 1 else _together(found)


def _new_document() -> Any:
    document = TDocStd_Document(TCollection_ExtendedString("BinXCAF"))
    XCAFApp_Application.GetApplication_s().InitDocument(document)
    XCAFDoc_DocumentTool.SetLengthUnit_s(document, _METRES_PER_MM)
    return document


def _together(shapes: list[Any]) -> Any:
    if not shapes:
        return None
    compound, builder = TopoDS_Compound(), BRep_Builder()
    builder.MakeCompound(compound)
    for shape in shapes:
        builder.Add(compound, shape)
    return compound


def _require_done(status: Any) -> None:
    if status != IFSelect_ReturnStatus.IFSelect_RetDone:
        raise Refused("corrupt", "")


class Model:
    """One shape, and the document that knows its names and colours where it was read with them."""

    def __init__(self, document: Any, shape: Any) -> None:
        """Take both as they were read."""
        self.document, self.shape = document, shape

    def size(self) -> float:
        """Length of the diagonal of a box that holds it."""
        low, high = self._box() or ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        return max(math.dist(low, high), 1e-9)

    def figures(self) -> dict[str, Any]:
        """Exact figures; the box may be a little too large, because poles of curved surfaces stand out of them."""
        area, volume = GProp_GProps(), GProp_GProps()
        BRepGProp.SurfaceProperties_s(self.shape, area)
        BRepGProp.VolumeProperties_s(self.shape, volume)
        return {
            "surfaces": self._count(TopAbs_ShapeEnum.TopAbs_FACE),
            "solids": self._count(TopAbs_ShapeEnum.TopAbs_SOLID),
            "box": self._box(),
            "size": self.size(),
            "area": area.Mass(),
            "volume": volume.Mass(),
        }

    def mesh(self, deflection_mm: float, angle_rad: float) -> int:
        """Cut the surface into triangles, at most that far from it; returns how many."""
        BRepTools.Clean_s(self.shape)  # what a file brings along may be coarser than was asked for
        BRepMesh_IncrementalMesh(self.shape, deflection_mm, False, angle_rad, True)
        faces = 0
        explorer = TopExp_Explorer(self.shape, TopAbs_ShapeEnum.TopAbs_FACE)
        while explorer.More():
            mesh = BRep_Tool.Triangulation_s(TopoDS.Face(explorer.Current()), TopLoc_Location())
            faces += mesh.NbTriangles() if mesh is not None else 0
            explorer.Next()
        return faces

    def write_stl(self, path: str, factor: float, *, is_ascii: bool) -> None:
        """The mesh with its numbers multiplied by a factor."""
        shape = self.shape
        if factor != 1.0:
            shape = shape.Located(TopLoc_Location(_scaling(factor)).Multiplied(shape.Location()), False)
        writer = StlAPI_Writer()
        writer.ASCIIMode = is_ascii
        if not writer.Write(shape, path):
            raise Refused("output", "The result could not be written")

    def write_glb(self, path: str) -> None:
        """The mesh in metres with +Y up, as glTF wants it, with names and colours."""
        writer = RWGltf_CafWriter(TCollection_AsciiString(path), True)
        writer.SetMergeFaces(True)
        system = writer.ChangeCoordinateSystemConverter()
        system.SetInputLengthUnit(_METRES_PER_MM)
        system.SetInputCoordinateSystem(RWMesh_CoordinateSystem.RWMesh_CoordinateSystem_Zup)
        if not writer.Perform(self._named(), FileInfo(), Message_ProgressRange()):
            raise Refused("output", "The result could not be written")

    def write_exact(self, path: str, kind: str, unit: str) -> float:
        """The model in another exact format; returns by what its numbers differ when they are read as millimetres."""
        if kind == "brep":
            factor = 1.0 / _MM_OF[unit]
            shape = (
                self.shape if factor == 1.0 else BRepBuilderAPI_Transform(self.shape, _scaling(factor), True).Shape()
            )
            is_written = BRepTools.Write_s(shape, path)
        elif kind == "step":
            factor, writer = 1.0, STEPCAFControl_Writer()
            Interface_Static.SetCVal_s("write.step.unit", _UNIT_WORDS[unit])
            writer.Transfer(self._named(), STEPControl_StepModelType.STEPControl_AsIs)
            is_written = writer.Write(path) == IFSelect_ReturnStatus.IFSelect_RetDone
        else:
            IGESControl_Controller.Init_s()  # makes the setting known
            Interface_Static.SetCVal_s("write.iges.unit", _UNIT_WORDS[unit])
            factor, writer = 1.0, IGESCAFControl_Writer()
            is_written = writer.Transfer(self._named()) and writer.Write(path)
        if not is_written:
            raise Refused("output", "The result could not be written")
        return factor

    def _named(self) -> Any:
        """The document; for a shape that was read without one, a new one that holds just the shape."""
        if self.document is None:
            self.document = _new_document()
            XCAFDoc_DocumentTool.ShapeTool_s(self.document.Main()).AddShape(self.shape)
        return self.document

    def _count(self, kind: Any) -> int:
        explorer, count = TopExp_Explorer(self.shape, kind), 0
        while explorer.More():
            count += 1
            explorer.Next()
        return count

    def _box(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        box = Bnd_Box()
        BRepBndLib.Add_s(self.shape, box, False)
        if box.IsVoid():
            return None
        low, high = box.CornerMin(), box.CornerMax()
        return (low.X(), low.Y(), low.Z()), (high.X(), high.Y(), high.Z())


def _scaling(factor: float) -> Any:
    scaling = gp_Trsf()
    scaling.SetScale(gp_Pnt(0, 0, 0), factor)
    return scaling
