"""Says why libvips cannot read a picture: too large, not supported, or damaged."""

import re
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused

_HEAD_BYTES = 1024**2  # where AVIF and HEIC say the size
_HEIF = ("avif", "heic")
_ANIMATION_FACTOR = 10
"""All frames together may have ten times the pixels of one picture, because they are decoded one after another."""
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|not configured|(?:un|not )implemented|samples out of range", re.IGNORECASE
)
_LONGEST_SIDE = re.compile(r"maximum image size (\d+)x\d+")  # of the decoder of AVIF and HEIC
_MAGICK_LIMIT = re.compile(r"exceeds limit", re.IGNORECASE)
_MAGICK_LONGEST_SIDE = 32_000  # magick/policy.xml


def of(path: str, source_format: str, error: Exception, *, max_pixels: int) -> Refused:
    """Return the refusal that tells the cause of this error of libvips."""
    size = _declared_size(path) if source_format in _HEIF else (0, 0)
    if size[0] * size[1] > max_pixels:
        return _too_many_pixels(size, 1, max_pixels)
    text = str(error)
    if longest := _LONGEST_SIDE.search(text):
        return _too_long(source_format, int(longest[1]))
    if _MAGICK_LIMIT.search(text):
        return _too_long(source_format, _MAGICK_LONGEST_SIDE)
    if source_format in _HEIF and is_sequence(path):
        return Refused("unsupported", f"Animated {source_format.upper()} pictures are not supported")
    if _UNSUPPORTED.search(text):
        advice = "Save it in another way and upload it again"
        return Refused("unsupported", f"This kind of {source_format.upper()} picture is not supported. {advice}")
    return Refused("corrupt", "")


def check_pixels(size: tuple[int, int], frames: int, request: dict[str, Any]) -> None:
    """Refuse a picture or an animation that is larger than the request allows; `size` is that of one frame."""
    if frames > request["frames"]:
        raise Refused("too_large", f"The animation has {frames:,} frames; at most {request['frames']:,} are allowed")
    pixels, limit = size[0] * size[1], request["pixels"]
    if pixels > limit or pixels * frames > limit * _ANIMATION_FACTOR:
        raise _too_many_pixels(size, frames, limit)


def is_sequence(path: str) -> bool:
    """Return whether an AVIF or HEIC file says in its header that it holds an animation."""
    head = _head(path)
    size = min(int.from_bytes(head[:4]), 512)
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, size, 4))}
    return b"avis" in brands or head[8:12] in {b"msf1", b"hevc", b"hevx"}


def _too_many_pixels(size: tuple[int, int], frames: int, limit: int) -> Refused:
    of_frames = f" × {frames} frames" if frames > 1 else ""
    allowed = f"at most {_million(limit)} pixels are allowed"
    return Refused("too_large", f"The picture is {size[0]} × {size[1]} pixels{of_frames}; {allowed}")


def _too_long(source_format: str, longest: int) -> Refused:
    allowed = f"at most {longest:,} pixels per side can be read"
    return Refused("too_large", f"The picture is too large: of a {source_format.upper()} picture {allowed}")


def _declared_size(path: str) -> tuple[int, int]:
    """Return the largest size in pixels that an AVIF or HEIC file declares for its pictures; 0 × 0 when none."""
    head = _head(path)
    sizes = [
        (
            int.from_bytes(head[found.end() + 4 : found.end() + 8]),
            int.from_bytes(head[found.end() + 8 : found.end() + 12]),
        )
        for found in re.finditer(rb"\0\0\0\x14ispe", head)
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))


def _head(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        return file.read(_HEAD_BYTES)


def _million(pixels: int) -> str:
    return f"{pixels // 1_000_000} million"
