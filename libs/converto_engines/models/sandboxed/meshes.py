"""Converts a mesh with trimesh; one process serves one model.

The answer holds the figures the result should have; another program checks whether it has them.
"""

import math
import sys
from typing import Any

from converto_engines.models.sandboxed import figures, gltf_parts, gltf_plain, package_3mf, stl_colours
from converto_engines.models.sandboxed.glb_finish import with_matt_surfaces
from converto_engines.models.sandboxed.unsupported import Unsupported
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, reserve_stdout, serve_argument

_COLOURED = ("ply", "obj")
"""Formats with a colour per vertex; GLB keeps materials and textures, the others only the surface."""
_ROTATIONS = {
    "keep": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "y_to_z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "z_to_y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
}
_MM_OF = {"micron": 0.001, "millimeter": 1.0, "centimeter": 10.0, "meter": 1000.0, "inch": 25.4, "foot": 304.8}
_UNIT_NAMES = {"mm": "millimeter", "cm": "centimeter", "m": "meter", "inch": "inch"}


def main() -> None:
    """Serve the request given on the command line."""
    reserve_stdout()
    serve_argument(_serve)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    sys.path[:0] = request["packages"]
    if "ask" in request:
        import trimesh  # noqa: PLC0415 -- importable only once `packages` are on the path

        return {"version": trimesh.__version__}
    try:
        return convert(request)
    except Unsupported as error:
        return {"unsupported": str(error)}


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Read, scale, rotate and write the mesh."""
    missing: dict[str, Any] = {}
    if request["source_format"] in {"glb", "gltf"}:
        gltf = gltf_parts.description(request["source"], is_binary=request["source_format"] == "glb")
        if external := gltf_parts.external_buffers(gltf):
            return {"foreign": external}
        gltf_parts.check(gltf, request["limits"]["faces"])
        missing = {"missing_textures": gltf_parts.missing_textures(gltf), "lost_looks": gltf_parts.lost_looks(gltf)}
        request = _made_plain(gltf, request)
    report_progress(5, "reading the model")
    stated, scene = _read(request)
    faces = _faces(scene)
    if faces == 0:
        return {"faces": 0}
    if faces > request["limits"]["faces"]:
        raise Refused("too_large", f"The model has {faces:,} faces; at most {request['limits']['faces']:,} are allowed")
    source = _figures(scene)
    if not source["is_finite"]:
        raise Refused("corrupt", "The model has coordinates that are not numbers. Export it again")
    if source["area"] == 0:
        raise Refused("corrupt", "No face of the model has an area: all are points or lines. Export it again")
    factor, unit = _scale(stated, request)
    _transform(scene, factor, request["options"]["up"])
    report_progress(45, "writing the model")
    _write(scene, unit, request)
    return {"faces": faces, "source": source, "result": _figures(scene), **missing}


def _made_plain(gltf: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Rewrite a glTF model that trimesh would read wrongly; return the request for the new file."""
    if not gltf_plain.needs_rewriting(gltf):
        return request
    plain = f"{request['output']}.plain.glb"
    gltf_plain.rewrite(gltf, request["source"], plain, keeps_materials=not request["ignores_materials"])
    return {**request, "source": plain, "source_format": "glb"}


def _read(request: dict[str, Any]) -> tuple[str | None, Any]:
    """Return the unit the source states, and its scene."""
    path, kind = request["source"], request["source_format"]
    if kind == "3mf":
        unit, parts = package_3mf.read(path, request["limits"])
        return unit, _scene_of(parts)
    scene = _loaded(path, kind)
    for name, entry in list(scene.geometry.items()):
        _check_indices(entry)
        if kind == "stl":
            _merge_corners(entry)
            _colour_facets(entry, path)
        if request["target_format"] in _COLOURED:
            _apply_corner_colours(entry)
        if entry.visual.kind == "face":
            scene.geometry[name] = _with_corner_colours(entry, request["target_format"])
    return "meter" if request["is_in_metres"] else None, scene


def _scene_of(parts: list[package_3mf.Part]) -> Any:
    import trimesh  # noqa: PLC0415

    scene = trimesh.Scene()
    taken: set[str] = set()
    for number, (name, vertices, triangles) in enumerate(parts, 1):
        # trimesh merges parts of the same name.
        unique = name if name and name not in taken else f"{name or 'part'} {number}"
        taken.add(unique)
        scene.add_geometry(trimesh.Trimesh(vertices, triangles, process=False), geom_name=unique, node_name=unique)
    if _faces(scene) != sum(len(triangles) for _, _, triangles in parts):
        raise Refused("engine", "")
    return scene


def _loaded(path: str, kind: str) -> Any:
    import trimesh  # noqa: PLC0415

    more: dict[str, Any] = {"skip_materials": True, "fix_texture": False} if kind == "ply" else {}
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
            scene: Any = trimesh.load_scene(file, file_type=kind, process=False, **more)
    except MemoryError:
        raise
    except Exception as error:  # trimesh's readers raise anything for a damaged file
        raise Refused("corrupt", "") from error
    for name in [name for name, entry in scene.geometry.items() if not isinstance(entry, trimesh.Trimesh)]:
        scene.delete_geometry(name)  # points and lines
    return scene


def _check_indices(mesh: Any) -> None:
    if len(mesh.faces) and (mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices)):
        raise Refused("corrupt", "The model has faces whose corners do not exist. Export it again")


def _with_corner_colours(mesh: Any, target: str) -> Any:
    """Give each face corners of its own if the target has colours, so that face colours are not blended."""
    import numpy as np  # noqa: PLC0415
    import trimesh  # noqa: PLC0415

    if target not in {*_COLOURED, "glb"}:
        return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    corners, colours = mesh.vertices[mesh.faces.ravel()], mesh.visual.face_colors.repeat(3, axis=0)
    faces = np.arange(len(corners)).reshape(-1, 3)
    return trimesh.Trimesh(corners, faces, vertex_colors=colours, process=False)


def _merge_corners(mesh: Any) -> None:
    """Merge the bit-identical corners that STL repeats for each face."""
    import numpy as np  # noqa: PLC0415

    corners = np.ascontiguousarray(mesh.vertices.astype(np.float32) + np.float32(0))  # no negative zero
    _, first, place = np.unique(corners.view("V12").ravel(), return_index=True, return_inverse=True)
    faces, vertices = place[mesh.faces], mesh.vertices[first]
    mesh.vertices, mesh.faces = vertices, faces


def _colour_facets(mesh: Any, path: str) -> None:
    """Take the colours of a binary STL; one colour for all needs no corners of its own for each face."""
    if (attributes := mesh.face_attributes.get("stl")) is None:
        return
    if (colours := stl_colours.face_colours(path, attributes)) is None:
        return
    if (colours == colours[0]).all():
        mesh.visual.vertex_colors = colours[0]
    else:
        mesh.visual.face_colors = colours


def _apply_corner_colours(mesh: Any) -> None:
    """Multiply a material by the colours of the corners, as glTF means them; trimesh forgets them in copies."""
    import numpy as np  # noqa: PLC0415
    import trimesh  # noqa: PLC0415

    corners = getattr(mesh.visual, "vertex_attributes", {}).get("color")
    if corners is None or len(corners) != len(mesh.vertices):
        return
    material = _colours(mesh)
    base = np.full((len(corners), 4), 255) if material is None else material.vertex_colors
    colours = (base.astype(int) * corners + 127) // 255
    mesh.visual = trimesh.visual.ColorVisuals(mesh=mesh, vertex_colors=colours.astype(np.uint8))


def _scale(stated: str | None, request: dict[str, Any]) -> tuple[float, str]:
    """Return the factor for the coordinates and the unit of the result.

    Coordinates are kept unless the target is glTF, which is in metres, or the options set a unit.
    """
    options, target = request["options"], request["target_format"]
    own = _UNIT_NAMES.get(options["source_units"] or "", stated)
    wanted = _UNIT_NAMES.get(options["units"] or "")
    if target == "glb":
        if wanted not in {None, "meter"}:
            raise Refused("options", "units: glTF is always in metres. Remove units or set it to m")
        wanted = "meter"
    elif wanted is not None and own is None:
        raise Refused("options", "units: the file does not state its own unit. Set source_units as well")
    if own is None:
        return 1.0, "meter" if target == "glb" else "millimeter"
    if own not in _MM_OF:
        raise Refused("corrupt", "")
    return (_MM_OF[own] / _MM_OF[wanted], wanted) if wanted else (1.0, own)


def _transform(scene: Any, factor: float, up: str) -> None:
    import numpy as np  # noqa: PLC0415

    if factor != 1.0 or up != "keep":
        matrix = np.eye(4)
        matrix[:3, :3] = np.array(_ROTATIONS[up], dtype=float) * factor
        scene.apply_transform(matrix)


def _meshes(scene: Any) -> list[Any]:
    """Return all meshes of a scene in world coordinates."""
    return [mesh for mesh in scene.dump() if len(mesh.faces)]


def _faces(scene: Any) -> int:
    used = [scene.graph[node][1] for node in scene.graph.nodes_geometry]
    return sum(len(scene.geometry[name].faces) for name in used)


def _figures(scene: Any) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415

    return figures.figures(np.concatenate([mesh.triangles for mesh in _meshes(scene)]))


def _write(scene: Any, unit: str, request: dict[str, Any]) -> None:
    target, path = request["target_format"], request["output"]
    if target == "glb":
        # glTF draws a surface without material as metal; a glTF source is kept as it is.
        finish = None if request["is_gltf"] else with_matt_surfaces
        _save(path, scene.export(file_type="glb", tree_postprocessor=finish))
        return
    meshes = _meshes(scene)
    if target == "3mf":
        package_3mf.write(path, unit, [(_name_of(mesh), mesh.vertices, mesh.faces) for mesh in meshes])
        return
    _save(path, _exported(_joined(meshes, keeps_colours=target in _COLOURED), target, request["options"]["encoding"]))


def _name_of(mesh: Any) -> str:
    name = mesh.metadata.get("name")
    return name if isinstance(name, str) else ""


def _joined(meshes: list[Any], *, keeps_colours: bool) -> Any:
    import trimesh  # noqa: PLC0415

    for mesh in meshes:
        mesh.visual = _colours(mesh) if keeps_colours else None
    return trimesh.util.concatenate(meshes) if len(meshes) > 1 else meshes[0]


def _colours(mesh: Any) -> Any:
    """Return vertex colours for any kind of colouring; None when there are none or they cannot be derived."""
    if mesh.visual is None or not mesh.visual.defined:
        return None
    try:
        visual = mesh.visual if mesh.visual.kind in {"vertex", "face"} else mesh.visual.to_color()
        return None if visual.kind is None else type(visual)(mesh=mesh, vertex_colors=visual.vertex_colors)
    except (ValueError, AttributeError, IndexError, TypeError, OSError):
        return None


def _exported(mesh: Any, target: str, encoding: str) -> bytes:
    from trimesh.exchange import obj, off, ply, stl  # noqa: PLC0415

    write_obj: Any = obj.export_obj  # untyped
    is_ascii = encoding == "ascii"
    if target == "stl":
        body = stl.export_stl_ascii(mesh) if is_ascii else stl.export_stl(mesh)
    elif target == "ply":
        body = ply.export_ply(mesh, encoding="ascii" if is_ascii else "binary", include_attributes=False)
    elif target == "obj":
        body = write_obj(mesh, include_normals=False, include_texture=False, digits=_digits(mesh), header=None)
    else:
        body = off.export_off(mesh, digits=_digits(mesh))
    return body.encode() if isinstance(body, str) else body


def _digits(mesh: Any) -> int:
    """Return the decimal places that keep single precision for a model of this size."""
    largest = float(abs(mesh.bounds).max())
    return min(max(8 - math.floor(math.log10(largest or 1.0)), 3), 18)


def _save(path: str, body: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 -- pathlib costs time
        file.write(body)
