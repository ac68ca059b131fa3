"""Rewrites TIFF pictures with old-style JPEG compression (1992), which libvips cannot read, as PNG with pillow."""

import struct

from converto_engines.runtime.sandboxed.protocol import Refused

_COMPRESSION, _OLD_JPEG = 259, 6
_ENTRY_BYTES = 12


def is_used(path: str) -> bool:
    """Return whether the first picture of a TIFF file has old-style JPEG compression."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        head = file.read(8)
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
        if order is None or len(head) < 8:
            return False
        file.seek(struct.unpack(f"{order}I", head[4:])[0])
        count = file.read(2)
        entries = file.read(_ENTRY_BYTES * struct.unpack(f"{order}H", count)[0]) if len(count) == 2 else b""
    for start in range(0, len(entries) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        tag, _, _, value = struct.unpack(f"{order}HHIH", entries[start : start + 10])
        if tag == _COMPRESSION:
            return bool(value == _OLD_JPEG)
    return False


def rewrite(path: str, target: str, page: int, *, max_pixels: int) -> None:
    """Write one page of the file, counted from 1, as PNG."""
    try:
        from PIL import Image  # noqa: PLC0415 -- needed for few files
    except ImportError as error:
        raise Refused("corrupt", "This worker cannot read TIFF files with old-style JPEG compression") from error
    Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is checked instead
    try:
        with Image.open(path, formats=["TIFF"]) as picture:
            picture.seek(page - 1)
            if picture.width * picture.height > max_pixels:
                size = f"The picture is {picture.width} × {picture.height} pixels"
                raise Refused("too_large", f"{size}; at most {max_pixels // 1_000_000} million pixels are allowed")
            picture.convert("RGB").save(target, "PNG", compress_level=1)
    except EOFError as error:
        raise Refused("options", f"page: the picture has fewer than {page} pages") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Refused("corrupt", "") from error
