"""Makes SVG drawings readable: unpacks compressed ones, and gives those without a size the box of what they show."""

import ctypes
import math
import re
import zlib
from ctypes import byref, c_char_p, c_double, c_size_t, c_void_p
from xml.parsers import expat

from converto_engines.runtime.sandboxed.protocol import Refused

_GZIP_MAGIC = b"\x1f\x8b"
_MOST_BYTES = 256 * 1024**2
"""The most that a compressed drawing may unpack to; a drawing of this size already takes minutes to draw."""
_LENGTH = re.compile(r"\s*\+?[\d.]+(?:[eE][-+]?\d+)?\s*(?!%)(?:[a-z]{2,4})?\s*")
_ROOT_NAME = re.compile(rb"<[^\s/>]+")


class _Rectangle(ctypes.Structure):
    _fields_ = tuple((name, c_double) for name in ("x", "y", "width", "height"))


class _RootFound(Exception):
    pass


def readable_path(path: str) -> str:
    """Return the path of the drawing, or of a copy that was unpacked or got a size."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        content = file.read()
    is_packed = content.startswith(_GZIP_MAGIC)
    drawing = _unpacked(content) if is_packed else content
    sized = _with_size(drawing)
    if sized is content:
        return path
    copy = f"{path}.svg"
    with open(copy, "wb") as file:  # noqa: PTH123
        file.write(sized)
    return copy


def _unpacked(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        drawing = unpacker.decompress(content, _MOST_BYTES)
    except zlib.error as error:
        raise Refused("corrupt", "") from error
    if unpacker.unconsumed_tail:
        raise Refused("too_large", f"The drawing is larger than {_MOST_BYTES // 1024**2} MiB when it is unpacked")
    if not unpacker.eof:
        raise Refused("corrupt", "The compressed drawing is incomplete: its end is missing. Upload the complete file")
    return drawing


def _with_size(drawing: bytes) -> bytes:
    """Return the drawing, with a `viewBox` around all that it shows when it says no size."""
    root = _root_of(drawing)
    if root is None or _has_size(root[1]):
        return drawing
    shown, name = _shown_box(drawing), _ROOT_NAME.match(drawing, root[0])
    if shown is None or name is None:
        return drawing
    left, top = math.floor(shown.x), math.floor(shown.y)
    width, height = math.ceil(shown.x + shown.width) - left, math.ceil(shown.y + shown.height) - top
    box = f' viewBox="{left} {top} {width} {height}"'.encode()
    return drawing[: name.end()] + box + drawing[name.end() :]


def _root_of(drawing: bytes) -> tuple[int, dict[str, str]] | None:
    """Return where the root element begins, in bytes, and its attributes; None for what is not plain XML."""
    found: list[tuple[int, dict[str, str]]] = []
    parser = expat.ParserCreate()

    def begin(_name: str, attributes: dict[str, str]) -> None:
        found.append((parser.CurrentByteIndex, attributes))
        raise _RootFound

    parser.StartElementHandler = begin
    try:
        parser.Parse(drawing, True)
    except _RootFound:
        return found[0]
    except expat.ExpatError:
        pass  # libvips says what is wrong with it
    return None


def _has_size(attributes: dict[str, str]) -> bool:
    if attributes.get("viewBox", "").strip():
        return True
    return all(_LENGTH.fullmatch(attributes.get(side, "")) for side in ("width", "height"))


def _shown_box(drawing: bytes) -> _Rectangle | None:
    """Measure what librsvg would draw, with lines; None when it draws nothing or cannot read it."""
    try:
        library = ctypes.CDLL("librsvg-2.so.2")
    except OSError:
        return None
    library.rsvg_handle_new_from_data.restype = c_void_p
    library.rsvg_handle_new_from_data.argtypes = [c_char_p, c_size_t, c_void_p]
    library.rsvg_handle_get_geometry_for_layer.argtypes = [c_void_p, c_char_p, *[c_void_p] * 4]
    # Without a base address, librsvg reads no other file.
    handle = library.rsvg_handle_new_from_data(drawing, len(drawing), None)
    if not handle:
        return None
    shown, ignored, viewport = _Rectangle(), _Rectangle(), _Rectangle(0, 0, 300, 150)
    arguments = (byref(viewport), byref(shown), byref(ignored), None)
    is_measured = library.rsvg_handle_get_geometry_for_layer(handle, None, *arguments)
    sides = (shown.width, shown.height)
    return shown if is_measured and min(sides) > 0 and all(map(math.isfinite, sides)) else None
