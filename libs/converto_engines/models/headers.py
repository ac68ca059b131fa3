"""Checks the number of faces in the headers of STL, PLY and OFF files before a program reads them.

It reads only the first kilobytes, outside the sandbox. The sandboxed programs check the other formats.
"""

import re
from pathlib import Path

from converto_core.errors import CorruptSource, SourceTooLarge

_HEADER_BYTES = 64 * 1024
_STL_HEADER_BYTES, _STL_FACE_BYTES = 84, 50
_MIN_PLY_FACE_BYTES = 4  # a count and three corners, one byte each
_MIN_TEXT_FACE_BYTES = 8  # "3 0 1 2" and a line end


def check(path: Path, kind: str, max_faces: int) -> None:
    """Raise `SourceTooLarge` for more faces than allowed, `CorruptSource` for more than the file can hold.

    Blocks on the disk.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    faces, min_bytes = {"stl": _of_stl, "ply": _of_ply, "off": _of_off}.get(kind, _no_header)(head)
    if min(faces, min_bytes) < 0 or min_bytes > size:
        raise CorruptSource("The file is shorter than its header says. Upload the complete file")
    if faces > max_faces:
        raise SourceTooLarge(f"The model has {faces:,} faces; at most {max_faces:,} are allowed")


def is_ascii_stl(head: bytes) -> bool:
    """Return whether a file with this beginning is an STL of text; a binary one may also begin with "solid"."""
    return re.match(rb"\s*solid\b", head, re.IGNORECASE) is not None and b"facet" in head.lower()


def bytes_after_last_facet(path: Path) -> int:
    """Return how many bytes follow the facets that a binary STL declares; 0 for text. Blocks on the disk."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    faces, used = _of_stl(head)
    return max(path.stat().st_size - used, 0) if faces else 0


def is_binary_stl(path: Path) -> bool:
    """Return whether the size of an STL fits a binary one; text practically never does. Blocks on the disk."""
    with path.open("rb") as file:
        head = file.read(_STL_HEADER_BYTES)
    faces = int.from_bytes(head[80:], "little")
    return len(head) == _STL_HEADER_BYTES and path.stat().st_size == _STL_HEADER_BYTES + _STL_FACE_BYTES * faces


def _of_stl(head: bytes) -> tuple[int, int]:
    """Return the number of faces in the header, and the minimum size in bytes of a file with so many."""
    if is_ascii_stl(head):
        return 0, 0
    faces = int.from_bytes(head[80:_STL_HEADER_BYTES], "little")
    return faces, _STL_HEADER_BYTES + faces * _STL_FACE_BYTES


def _of_ply(head: bytes) -> tuple[int, int]:
    header = head.partition(b"end_header")[0]
    found = re.findall(rb"^[ \t]*element[ \t]+(\w+)[ \t]+(-?\d{1,18})[ \t\r]*$", header, re.MULTILINE)
    counts = {name: int(count) for name, count in found}
    if min(counts.values(), default=0) < 0:
        return -1, -1
    faces = counts.get(b"face", 0)
    return faces, sum(counts.values()) + faces * (_MIN_PLY_FACE_BYTES - 1)


def _of_off(head: bytes) -> tuple[int, int]:
    lines = [line for line in head.split(b"\n") if line.strip() and not line.lstrip().startswith(b"#")]
    numbers = re.findall(rb"(?<![\w.])-?\d{1,18}(?![\w.])", b" ".join(lines[:2]))
    if len(numbers) < 2:
        return 0, 0
    vertices, faces = int(numbers[0]), int(numbers[1])
    return min(vertices, faces) if min(vertices, faces) < 0 else faces, faces * _MIN_TEXT_FACE_BYTES


def _no_header(_head: bytes) -> tuple[int, int]:
    return 0, 0
