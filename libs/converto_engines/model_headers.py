"""What a mesh file says of its own size before it is read: a few header lines, no more.

It reads the first kilobytes of STL, PLY and OFF files on the worker's side; the other formats tell theirs to the
programs in the sandbox.
"""

import re
from pathlib import Path

from converto_core.errors import CorruptSource, SourceTooLarge

_HEADER_BYTES = 64 * 1024
_STL_HEADER_BYTES, _STL_FACE_BYTES = 84, 50
_SMALLEST_PLY_FACE_BYTES = 4  # a count and three corners, one byte each
_SMALLEST_TEXT_FACE_BYTES = 8  # "3 0 1 2" and the end of its line


def check(path: Path, kind: str, most_faces: int) -> None:
    """Raise `SourceTooLarge` for more faces than allowed, `CorruptSource` for more than the file can hold.

    Blocks on the disk.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    told, least_bytes = {"stl": _of_stl, "ply": _of_ply, "off": _of_off}.get(kind, _untold)(head)
    if told * least_bytes > size:
        raise CorruptSource("The model says that it has more faces than are in the file. Please upload it again complete")
    if told > most_faces:
        raise SourceTooLarge(f"The model has {told:,} faces; {most_faces:,} are allowed")


def is_binary_stl(path: Path) -> bool:
    """Whether an STL is binary, by what its size says; text that happens to fit is unheard of. Blocks on the disk."""
    with path.open("rb") as file:
        head = file.read(_STL_HEADER_BYTES)
    faces = int.from_bytes(head[80:], "little")
    return len(head) == _STL_HEADER_BYTES and path.stat().st_size == _STL_HEADER_BYTES + _STL_FACE_BYTES * faces


def _of_stl(head: bytes) -> tuple[int, int]:
    if re.match(rb"\s*solid\b", head) and b"facet" in head:
        return 0, 0
    return int.from_bytes(head[80:_STL_HEADER_BYTES], "little"), _STL_FACE_BYTES


def _of_ply(head: bytes) -> tuple[int, int]:
    header = head.partition(b"end_header")[0]
    counts = [int(count) for count in re.findall(rb"^\s*element\s+\w+\s+(-?\d{1,18})\s*$", header, re.MULTILINE)]
    if any(count < 0 for count in counts):
        raise CorruptSource
    found = re.search(rb"^\s*element\s+face\s+(\d{1,18})\s*$", header, re.MULTILINE)
    if any(count > len_limit for count in counts if (len_limit := 2**40)):
        raise CorruptSource
    return (int(found.group(1)) if found else 0), _SMALLEST_PLY_FACE_BYTES


def _of_off(head: bytes) -> tuple[int, int]:
    lines = [line for line in head.split(b"\n") if line.strip() and not line.lstrip().startswith(b"#")]
    numbers = re.findall(rb"(?<![\w.])-?\d{1,18}(?![\w.])", b" ".join(lines[:2]))
    if len(numbers) < 2:
        return 0, 0
    if int(numbers[0]) < 0 or int(numbers[1]) < 0:
        raise CorruptSource
    return int(numbers[1]), _SMALLEST_TEXT_FACE_BYTES


def _untold(_head: bytes) -> tuple[int, int]:
    return 0, 0
