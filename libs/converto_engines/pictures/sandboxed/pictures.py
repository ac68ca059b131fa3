"""Converts one picture with libvips and verifies the result; one process serves one request."""

import functools
from typing import Any

from converto_engines.pictures.sandboxed import libvips
from converto_engines.pictures.sandboxed.icon_conversion import convert_to_icon
from converto_engines.pictures.sandboxed.save import SAVERS, can_write, verify, write
from converto_engines.pictures.sandboxed.source import ANIMATED, LOADERS, UNSAFE_LOADERS, Source
from converto_engines.pictures.sandboxed.transform import (
    check_size,
    in_target_colours,
    on_background,
    output_size,
    resized,
)
from converto_engines.runtime.sandboxed.protocol import Refused, serve_stdin


def main() -> None:
    """Load libvips ahead of the request, because loading takes longer than converting a small picture."""
    try:
        library = libvips.Library()
    except OSError:
        library = None
    serve_stdin(functools.partial(_serve, library))


def _serve(library: libvips.Library | None, request: dict[str, Any]) -> dict[str, Any]:
    if library is None:
        raise Refused("missing", "libvips is not installed on this worker")
    return _capabilities(library, request["probe"]) if "ask" in request else convert(library, request)


def convert(library: libvips.Library, request: dict[str, Any]) -> dict[str, Any]:
    """Read, rotate upright, resize, convert colours, write, and verify."""
    return convert_source(library, opened(library, request), request)


def opened(library: libvips.Library, request: dict[str, Any]) -> Source:
    """Open the source with the loader of its format; all other unsafe ones are blocked."""
    loader = UNSAFE_LOADERS.get(request["source_format"])
    library.allow(*([loader] if loader else []))
    # libvips loses the error of a damaged JPEG 2000 tile when another thread reads the next one.
    library.use_threads(1 if "jp2" in {request["source_format"], request["target_format"]} else 0)
    return Source(library, request)


def convert_source(library: libvips.Library, source: Source, request: dict[str, Any]) -> dict[str, Any]:
    """Convert a source that `opened` returned."""
    options, target = request["options"], request["target_format"]
    size = output_size(source, options)
    # TIFF holds any kind of number, so nothing has to be scaled as long as the pixels stay as they are.
    if target != "tiff" or size.is_scaled:
        source.measure()
    if target == "ico":
        return convert_to_icon(library, source, request)
    check_size(size, request)
    try:
        picture = in_target_colours(resized(source, size), request)
        picture = on_background(picture, request)
        write(library, picture, request)
    except libvips.VipsError as error:
        source.raise_cause(error)
    frames = source.frames if target in ANIMATED else 1
    verify(library, request, size.out, frames)
    return {"width": size.out[0], "height": size.out[1], "frames": frames, **described(source)}


def described(source: Source) -> dict[str, Any]:
    """Return what the worker tells users about a source."""
    return {"pages": source.pages, "page": source.page, "samples": source.samples}


def _capabilities(library: libvips.Library, probe: str) -> dict[str, Any]:
    """Return the version, the formats this libvips reads, and those it really writes."""
    return {
        "version": library.version,
        "sources": [name for name, loader in LOADERS.items() if library.has(loader)],
        "targets": [name for name, saver in SAVERS.items() if library.has(saver) and can_write(library, name, probe)],
    }
