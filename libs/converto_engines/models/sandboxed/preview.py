"""Draws a GLB with f3d, without a screen, and looks at what was drawn. Runs inside the sandbox.

It speaks as `protocol.py` says. f3d prints its progress to stdout, so that is kept apart.
"""

import sys
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, reserve_stdout, serve_argument

_FROM = {
    "isometric": (1.0, 0.8, 1.25),
    "front": (0.0, 0.0, 1.0),
    "back": (0.0, 0.0, -1.0),
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "top": (0.0, 1.0, 0.0),
    "bottom": (0.0, -1.0, 0.0),
}
"""Where the eye is, with +Y up and the model's front towards +Z, as glTF has it."""
_FILLED = 0.9
_SHOWN_AT_LEAST = 3
"""Steps of brightness between the darkest and the lightest pixel; a flat picture has none."""


def main() -> None:
    """Serve one request."""
    reserve_stdout()
    serve_argument(_served)


def _served(request: dict[str, Any]) -> dict[str, Any]:
    sys.path[:0] = request["packages"]
    if "ask" in request:
        import f3d  # noqa: PLC0415 - found only after the line above

        f3d.Engine.create_osmesa()
        return {"version": str(f3d.Engine.get_lib_info().version)}
    return draw(request)


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """Draw the model that the request names, and check the picture."""
    import f3d  # noqa: PLC0415

    report_progress(60, "drawing the model")
    options = request["options"]
    engine = f3d.Engine.create_osmesa()
    engine.window.size = (options["width"], options["height"])
    is_clear = options["background"] == "transparent"
    _set_options(engine.options, None if is_clear else options["background"])
    engine.scene.add(request["source"])
    _place_camera(engine.window.camera, options["direction"])
    engine.window.render_to_image(no_background=is_clear).save(request["output"])
    _check(request["output"], (options["width"], options["height"]))
    return {"width": options["width"], "height": options["height"]}


def _set_options(options: Any, background: str | None) -> None:
    chosen: dict[str, Any] = {
        "ui.loader_progress": False,
        "render.grid.enable": False,
        "render.effect.antialiasing.mode": "ssaa",
        "render.light.intensity": 1.4,
        "scene.up_direction": "+Y",
    }
    if background is not None:
        chosen["render.background.color"] = [int(background[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    for name, value in chosen.items():
        options[name] = value


def _place_camera(camera: Any, direction: str) -> None:
    camera.focal_point = (0.0, 0.0, 0.0)
    camera.position = _FROM[direction]
    is_steep = direction in {"top", "bottom"}
    camera.view_up = (0.0, 0.0, -1.0 if direction == "top" else 1.0) if is_steep else (0.0, 1.0, 0.0)
    camera.reset_to_bounds(_FILLED)


def _check(path: str, size: tuple[int, int]) -> None:
    """A second library has to see a picture of the right size with something on it."""
    from PIL import Image  # noqa: PLC0415

    with Image.open(path) as picture:
        picture.load()
        if picture.size != size:
            raise Refused("output", f"The picture is {picture.size} pixels instead of {size}")
        bands: Any = picture.getextrema()
    if all(high - low < _SHOWN_AT_LEAST for low, high in bands):
        raise Refused("output", "The picture shows nothing")
