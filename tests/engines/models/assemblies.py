"""Assemblies of a block of 10 × 20 × 30 mm, written as STEP by the kernel."""

from pathlib import Path
from typing import Any


def assembly(
    path: Path,
    *,
    instances: tuple[str | None, ...] = (),
    colour: tuple[float, float, float] | None = (1.0, 0.0, 0.0),
    size: tuple[float, float, float] = (10, 20, 30),
) -> Path:
    """Write a block, or instances of it each 50 mm further along x; None leaves the name to the kernel.

    The colour is sRGB.
    """
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox
    from OCP.Quantity import Quantity_Color, Quantity_TypeOfColor
    from OCP.TCollection import TCollection_ExtendedString
    from OCP.TDataStd import TDataStd_Name
    from OCP.TDocStd import TDocStd_Document
    from OCP.XCAFApp import XCAFApp_Application
    from OCP.XCAFDoc import XCAFDoc_ColorType, XCAFDoc_DocumentTool

    document = TDocStd_Document(TCollection_ExtendedString("BinXCAF"))
    XCAFApp_Application.GetApplication_s().InitDocument(document)
    shapes = XCAFDoc_DocumentTool.ShapeTool_s(document.Main())
    block = shapes.AddShape(BRepPrimAPI_MakeBox(*size).Shape(), False)
    TDataStd_Name.Set_s(block, TCollection_ExtendedString("block"))
    if colour is not None:
        value = Quantity_Color(*colour, Quantity_TypeOfColor.Quantity_TOC_sRGB)
        XCAFDoc_DocumentTool.ColorTool_s(document.Main()).SetColor(block, value, XCAFDoc_ColorType.XCAFDoc_ColorGen)
    if instances:
        _add_instances(shapes, block, instances)
    _write(document, path)
    return path


def _add_instances(shapes: Any, block: Any, names: tuple[str | None, ...]) -> None:
    from OCP.gp import gp_Trsf, gp_Vec
    from OCP.TCollection import TCollection_ExtendedString
    from OCP.TDataStd import TDataStd_Name
    from OCP.TopLoc import TopLoc_Location

    whole = shapes.NewShape()
    TDataStd_Name.Set_s(whole, TCollection_ExtendedString("whole"))
    for number, name in enumerate(names):
        move = gp_Trsf()
        move.SetTranslation(gp_Vec(50.0 * number, 0, 0))
        label = shapes.AddComponent(whole, block, TopLoc_Location(move))
        if name is not None:
            TDataStd_Name.Set_s(label, TCollection_ExtendedString(name))
    shapes.UpdateAssemblies()


def _write(document: Any, path: Path) -> None:
    from OCP.STEPCAFControl import STEPCAFControl_Writer
    from OCP.STEPControl import STEPControl_StepModelType

    writer = STEPCAFControl_Writer()
    writer.Transfer(document, STEPControl_StepModelType.STEPControl_AsIs)
    writer.Write(str(path))
