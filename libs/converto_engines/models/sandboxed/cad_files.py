"""Reads, measures, meshes and writes exact models with OpenCASCADE; importable only with its packages on the path."""

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
from OCP.RWMesh import RWMesh_CoordinateSystem, RWMesh_NameFormat
from OCP.STEPCAFControl import STEPCAFControl_Reader, STEPCAFControl_Writer
from OCP.STEPControl import STEPControl_Reader, STEPControl_StepModelType
from OCP.StlAPI import StlAPI_Writer
from OCP.TCollection import TCollection_AsciiString, TCollection_ExtendedString
from OCP.TDataStd import TDataStd_Name
from OCP.TDF import TDF_ChildIterator, TDF_Label
from OCP.TDocStd import TDocStd_Document
from OCP.TopAbs import TopAbs_ShapeEnum
from OCP.TopExp import TopExp_Explorer
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS, TopoDS_Compound, TopoDS_Shape
from OCP.XCAFApp import XCAFApp_Application
from OCP.XCAFDoc import XCAFDoc_DocumentTool, XCAFDoc_ShapeTool

from converto_engines.models.sandboxed.glb_finish import finish_exact_model
from converto_engines.runtime.sandboxed.protocol import Refused

_METRES_PER_MM = 0.001
_MM_OF = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
_UNIT_WORDS = {"mm": "MM", "cm": "CM", "m": "M", "inch": "INCH"}


def version() -> str:
    """Return the kernel's version."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    return ".".join(installed("cadquery-ocp-novtk").split(".")[:3])


def read(path: str, kind: str, *, with_names: bool) -> "Model":
    """Read a model in millimetres; refused when the file is damaged or empty.

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
    """Require the root shape at the end of a BREP, because the kernel loops forever on a truncated one."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
        if not _BREP_END.search(file.read()):
            raise Refused("corrupt", "The end of the model is missing. Upload the complete file")


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
    parts = [shapes.GetShape_s(roots.Value(number)) for number in range(1, roots.Length() + 1)]
    return document, parts[0] if len(parts) == 1 else _compound(parts)


def _new_document() -> Any:
    document = TDocStd_Document(TCollection_ExtendedString("BinXCAF"))
    XCAFApp_Application.GetApplication_s().InitDocument(document)
    XCAFDoc_DocumentTool.SetLengthUnit_s(document, _METRES_PER_MM)
    return document


def _compound(shapes: list[Any]) -> Any:
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
    """One shape and, if read with names, the document with its names and colours."""

    def __init__(self, document: Any, shape: Any) -> None:
        """Take both as read."""
        self.document, self.shape = document, shape

    def size(self) -> float:
        """Return the diagonal of the bounding box in millimetres."""
        low, high = self._box() or ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        return max(math.dist(low, high), 1e-9)

    def figures(self) -> dict[str, Any]:
        """Return exact figures; the box may be slightly too large, because it encloses poles of curved surfaces."""
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
        """Triangulate the surface within this distance and angle; return the number of triangles."""
        BRepTools.Clean_s(self.shape)  # a mesh in the file may be coarser than requested
        BRepMesh_IncrementalMesh(self.shape, deflection_mm, False, angle_rad, True)
        faces = 0
        explorer = TopExp_Explorer(self.shape, TopAbs_ShapeEnum.TopAbs_FACE)
        while explorer.More():
            mesh = BRep_Tool.Triangulation_s(TopoDS.Face(explorer.Current()), TopLoc_Location())
            faces += mesh.NbTriangles() if mesh is not None else 0
            explorer.Next()
        return faces

    def write_stl(self, path: str, factor: float, *, is_ascii: bool) -> None:
        """Write the mesh with its coordinates multiplied by a factor."""
        shape = self.shape
        if factor != 1.0:
            shape = shape.Located(TopLoc_Location(_scaling(factor)).Multiplied(shape.Location()), False)
        writer = StlAPI_Writer()
        writer.ASCIIMode = is_ascii
        if not writer.Write(shape, path):
            raise Refused("output", "The result could not be written")

    def write_glb(self, path: str) -> None:
        """Write the mesh in metres with +Y up, as glTF requires, with names and colours."""
        writer = RWGltf_CafWriter(TCollection_AsciiString(path), True)
        writer.SetMergeFaces(True)
        writer.SetNodeNameFormat(RWMesh_NameFormat.RWMesh_NameFormat_InstanceOrProduct)
        writer.SetMeshNameFormat(RWMesh_NameFormat.RWMesh_NameFormat_Product)
        system = writer.ChangeCoordinateSystemConverter()
        system.SetInputLengthUnit(_METRES_PER_MM)
        system.SetInputCoordinateSystem(RWMesh_CoordinateSystem.RWMesh_CoordinateSystem_Zup)
        document = self._with_document()
        _name_instances_by_part(document)
        if not writer.Perform(document, FileInfo(), Message_ProgressRange()):
            raise Refused("output", "The result could not be written")
        finish_exact_model(path)

    def write_exact(self, path: str, kind: str, unit: str) -> float:
        """Write another exact format; return the factor between its coordinates, read as millimetres, and ours."""
        if kind == "brep":
            factor = 1.0 / _MM_OF[unit]
            shape = (
                self.shape if factor == 1.0 else BRepBuilderAPI_Transform(self.shape, _scaling(factor), True).Shape()
            )
            is_written = BRepTools.Write_s(shape, path)
        elif kind == "step":
            factor, writer = 1.0, STEPCAFControl_Writer()
            Interface_Static.SetCVal_s("write.step.unit", _UNIT_WORDS[unit])
            writer.Transfer(self._with_document(), STEPControl_StepModelType.STEPControl_AsIs)
            is_written = writer.Write(path) == IFSelect_ReturnStatus.IFSelect_RetDone
        else:
            IGESControl_Controller.Init_s()  # registers the setting
            Interface_Static.SetCVal_s("write.iges.unit", _UNIT_WORDS[unit])
            factor, writer = 1.0, IGESCAFControl_Writer()
            is_written = writer.Transfer(self._with_document()) and writer.Write(path)
        if not is_written:
            raise Refused("output", "The result could not be written")
        return factor

    def _with_document(self) -> Any:
        """Return the document, created around the shape if it was read without one."""
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


def _name_instances_by_part(document: Any) -> None:
    """Give an instance the name of its part where a program wrote a mere number for it."""
    labels = TDF_ChildIterator(document.Main(), True)
    while labels.More():
        label, part = labels.Value(), TDF_Label()
        if XCAFDoc_ShapeTool.IsReference_s(label) and XCAFDoc_ShapeTool.GetReferredShape_s(label, part):
            own, name = _name_of(label), _name_of(part)
            if name and _MERE_NUMBER.fullmatch(own):
                TDataStd_Name.Set_s(label, TCollection_ExtendedString(name, True))
        labels.Next()


_MERE_NUMBER = re.compile(r"=>\[[\d:]*\]|(?:NAUO)?\d*", re.IGNORECASE)


def _name_of(label: Any) -> str:
    name = TDataStd_Name()
    return str(name.Get().ToExtString()) if label.FindAttribute(TDataStd_Name.GetID_s(), name) else ""


def _scaling(factor: float) -> Any:
    scaling = gp_Trsf()
    scaling.SetScale(gp_Pnt(0, 0, 0), factor)
    return scaling
