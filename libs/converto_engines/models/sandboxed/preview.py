"""Renders a GLB with f3d, off screen, and verifies the picture; f3d's own output is kept out of the protocol."""

import sys
from typing import Any

from converto_engines.models.sandboxed import feature_edges, glb_finish, glb_reader
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, reserve_stdout, serve_argument

_CAMERA_POSITIONS = {
    "isometric": (1.0, 0.8, 1.25),
    "front": (0.0, 0.0, 1.0),
    "back": (0.0, 0.0, -1.0),
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "top": (0.0, 1.0, 0.0),
    "bottom": (0.0, -1.0, 0.0),
}
"""With +Y up and the front of the model towards +Z, as in glTF."""
_FILL_FACTOR = 0.9
_LIGHT = 3.0
"""Shows a side towards the camera in about the colour of its plastic, and one away from the lights not black."""
_MIN_CONTRAST = 3
"""Minimum difference between the darkest and the lightest value of a channel; an empty picture has none."""


def main() -> None:
    """Serve the request given on the command line."""
    reserve_stdout()
    serve_argument(_serve)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    sys.path[:0] = request["packages"]
    if "ask" in request:
        import f3d  # noqa: PLC0415 -- importable only once `packages` are on the path

        try:
            f3d.Engine.create_osmesa()
        except RuntimeError as error:  # what f3d raises where the library for off-screen rendering is missing
            raise Refused("missing", "Off-screen rendering (OSMesa) is not installed on this worker") from error
        return {"version": str(f3d.Engine.get_lib_info().version)}
    return draw(request)


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """Draw the model and verify the picture."""
    import f3d  # noqa: PLC0415

    report_progress(60, "drawing the model")
    options = request["options"]
    engine = f3d.Engine.create_osmesa()
    engine.window.size = (options["width"], options["height"])
    is_clear = options["background"] == "transparent"
    _set_options(engine.options, None if is_clear else options["background"])
    engine.options["render.line_width"] = max(min(engine.window.size) / _LINES_PER_SIDE, 1.5)
    plastic = f"{request['output']}.plastic.glb"
    glb_finish.finish_for_picture(request["source"], plastic)
    engine.scene.add([plastic, *_edges(request)])
    _place_camera(engine.window.camera, options["direction"])
    engine.window.render_to_image(no_background=is_clear).save(request["output"])
    _check(request["output"], (options["width"], options["height"]))
    return {"width": options["width"], "height": options["height"]}


def _edges(request: dict[str, Any]) -> list[str]:
    """Write the edges of the model as a second one, nearer to the camera so that the surface hides no half of them."""
    import numpy as np  # noqa: PLC0415

    corners = glb_reader.corners_of(request["source"])
    if corners is None or not len(edges := feature_edges.edges_of(corners)):
        return []
    towards = np.array(_CAMERA_POSITIONS[request["options"]["direction"]])
    size = np.linalg.norm(np.ptp(corners.reshape(-1, 3), axis=0))
    path = f"{request['output']}.edges.glb"
    feature_edges.write(path, edges + towards / np.linalg.norm(towards) * size * _EDGE_SHIFT)
    return [path]


_EDGE_SHIFT = 0.002
_LINES_PER_SIDE = 450
"""Lines of this number would fill the shorter side of the picture."""


def _set_options(options: Any, background: str | None) -> None:
    chosen: dict[str, Any] = {
        "ui.loader_progress": False,
        "render.grid.enable": False,
        "render.effect.antialiasing.mode": "ssaa",
        "render.light.intensity": _LIGHT,
        "scene.up_direction": "+Y",
    }
    if background is not None:
        chosen["render.background.color"] = [int(background[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    for name, value in chosen.items():
        options[name] = value


def _place_camera(camera: Any, direction: str) -> None:
    camera.focal_point = (0.0, 0.0, 0.0)
    camera.position = _CAMERA_POSITIONS[direction]
    is_steep = direction in {"top", "bottom"}
    camera.view_up = (0.0, 0.0, -1.0 if direction == "top" else 1.0) if is_steep else (0.0, 1.0, 0.0)
    camera.reset_to_bounds(_FILL_FACTOR)


def _check(path: str, size: tuple[int, int]) -> None:
    """Check size and contrast of the picture with a second library."""
    from PIL import Image  # noqa: PLC0415

    with Image.open(path) as picture:
        picture.load()
        if picture.size != size:
            raise Refused("output", f"The picture is {picture.size} pixels instead of {size}")
        bands: Any = picture.getextrema()
    if all(high - low < _MIN_CONTRAST for low, high in bands):
        message = (
            "The model shows nothing from this direction. Check its size and its coordinates in the program it is from"
        )
        raise Refused("corrupt", message)
