"""Rewrites with pillow what libvips cannot read: TIFF pictures with old-style JPEG, AVIF and PNG animations."""

import os
from typing import Any

from converto_engines.pictures.sandboxed import refusals
from converto_engines.runtime.sandboxed.protocol import Refused

_PNG_SIGNATURE, _CRC_BYTES = b"\x89PNG\r\n\x1a\n", 4


def is_animated_png(path: str) -> bool:
    """Return whether a PNG file declares an animation (`acTL`), which must stand before its first picture."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        file.seek(len(_PNG_SIGNATURE))
        while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            if head[4:] == b"acTL":
                return True
            file.seek(int.from_bytes(head[:4]) + _CRC_BYTES, os.SEEK_CUR)
    return False


def rewrite_old_jpeg(path: str, target: str, request: dict[str, Any]) -> None:
    """Write the chosen page of a TIFF file as PNG; the first one without a choice."""
    page = request["options"].get("page") or 1
    image = _pillow("TIFF files with old-style JPEG compression")
    try:
        with image.open(path, formats=["TIFF"]) as picture:
            picture.seek(page - 1)
            refusals.check_pixels(picture.size, 1, request)
            resolution = {"dpi": picture.info["dpi"]} if "dpi" in picture.info else {}
            picture.convert("RGB").save(target, "PNG", compress_level=1, **resolution)
    except EOFError as error:
        raise Refused("options", f"page: the picture has fewer than {page} pages") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Refused("corrupt", "") from error


def rewrite_animation(path: str, target: str, source_format: str, request: dict[str, Any]) -> None:
    """Write all frames of an AVIF or PNG animation as WebP without loss, with their times."""
    kind = source_format.upper()
    image = _pillow(f"{kind} animations")
    try:
        with image.open(path, formats=[kind]) as picture:
            frames = picture.n_frames
            refusals.check_pixels(picture.size, frames, request)
            # The first picture of a PNG may be a substitute for programs that show no animations.
            first = 1 if picture.info.get("default_image") and frames > 1 else 0
            settings = {"lossless": True, "method": 0, "quality": 0, "exact": True, "loop": picture.info.get("loop", 0)}
            durations_ms = [_duration_ms(picture, number) for number in range(first, frames)]
            shown = [_copied(picture, number) for number in range(first, frames)] if first else [picture]
            shown[0].seek(0)
            shown[0].save(target, "WEBP", save_all=True, append_images=shown[1:], duration=durations_ms, **settings)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Refused("corrupt", "") from error


def _duration_ms(picture: Any, frame: int) -> int:
    picture.seek(frame)
    picture.load()
    return round(picture.info.get("duration") or 0)


def _copied(picture: Any, frame: int) -> Any:
    picture.seek(frame)
    return picture.copy()


def _pillow(what: str) -> Any:
    try:
        from PIL import Image, features  # noqa: PLC0415 -- needed for few files
    except ImportError as error:
        raise Refused("missing", f"This worker cannot read {what}") from error
    if what.startswith("AVIF") and not features.check("avif"):
        raise Refused("unsupported", f"{what} are not supported on this worker")
    Image.MAX_IMAGE_PIXELS = None  # the limit of the request is checked instead
    return Image
