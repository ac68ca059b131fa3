"""Converts a picture to an icon file with all usual sizes."""

from typing import Any

from converto_engines.pictures.sandboxed import icons, libvips
from converto_engines.pictures.sandboxed.source import Source
from converto_engines.pictures.sandboxed.transform import in_target_colours, on_background
from converto_engines.runtime.sandboxed.protocol import Refused


def convert_to_icon(library: libvips.Library, source: Source, request: dict[str, Any]) -> dict[str, Any]:
    """Write the picture in all usual sizes up to its own size or the requested one, and verify the icon."""
    requested = [side for side in (request["options"].get(name) for name in ("width", "height")) if side]
    if max(requested, default=0) > icons.LARGEST:
        raise Refused("options", f"An icon has at most {icons.LARGEST} pixels per side")
    may_grow = source.is_vector or request["options"].get("enlarge", False)
    largest = max(requested) if requested else icons.LARGEST
    sizes = icons.sizes_up_to(largest if may_grow else min(largest, max(source.size)))
    paths = []
    try:
        for side in sizes:
            factor = side / max(source.size)
            inner = (max(round(part * factor), 1) for part in source.size)
            picture = in_target_colours(source.scaled(*inner), request)
            picture = on_background(picture, request).in_srgb().centred(side)
            paths.append(f"{request['output']}.{side}.png")
            picture.write(paths[-1], "compression=9,strip=true")
    except libvips.VipsError as error:
        source.raise_cause(error)
    icons.write(request["output"], paths, sizes)
    _verify_icon(library, request["output"], sizes)
    made = {"width": sizes[-1], "height": sizes[-1], "frames": 1}
    return made | {"pages": source.pages, "page": source.page, "samples": source.samples}


def _verify_icon(library: libvips.Library, path: str, sizes: list[int]) -> None:
    for side, part in zip(sizes, icons.extract(path), strict=True):
        try:
            picture = library.open(part, "fail_on=error,access=sequential")
            picture.decode()
        except libvips.VipsError as error:
            raise Refused("output", "The icon cannot be read") from error
        if (picture.width, picture.height) != (side, side):
            raise Refused("output", f"The icon is {picture.width} × {picture.height} pixels instead of {side} × {side}")
