"""Reads what libvips does not tell of TIFF files: which of their pictures are pages, and whether it can read them."""

import struct
from typing import BinaryIO

_HEADS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
"""Byte order, and whether it is a BigTIFF, by the first bytes."""
_KIND, _COMPRESSION, _OLD_JPEG = 254, 259, 6
_REDUCED, _MASK = 1, 4  # bits of the tag NewSubfileType
_SHORT = 3
_MOST_DIRECTORIES = 100_000


def page_numbers(path: str) -> list[int]:
    """Return the numbers, from 0, of the pictures that are pages; thumbnails, smaller copies and masks are none.

    Empty when the file cannot be read this way.
    """
    kinds = [tags.get(_KIND, 0) for tags in _directories(path)]
    pages = [number for number, kind in enumerate(kinds) if not kind & (_REDUCED | _MASK)]
    return pages or list(range(len(kinds)))


def has_old_jpeg(path: str) -> bool:
    """Return whether the first picture of a TIFF file has old-style JPEG compression , which libvips cannot read."""
    directories = _directories(path, most=1)
    return bool(directories) and directories[0].get(_COMPRESSION) == _OLD_JPEG


def _directories(path: str, *, most: int = _MOST_DIRECTORIES) -> list[dict[int, int]]:
    """Return the tags with one whole number of each directory, as far as they can be read."""
    found: list[dict[int, int]] = []
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        order, is_big = _HEADS.get(file.read(4), ("", False))
        if not order:
            return found
        seen: set[int] = set()
        try:
            file.seek(8 if is_big else 4)
            offset = _number(file, order, 8 if is_big else 4)
            while offset and offset not in seen and len(found) < most:
                seen.add(offset)
                file.seek(offset)
                tags, offset = _directory(file, order, is_big=is_big)
                found.append(tags)
        except (struct.error, OSError, OverflowError):
            pass  # libvips says what is wrong with it
    return found


def _directory(file: BinaryIO, order: str, *, is_big: bool) -> tuple[dict[int, int], int]:
    """Return the tags of the directory at this place of the file, and the offset of the next one."""
    count = _number(file, order, 8 if is_big else 2)
    size, head = (20, "HHQ") if is_big else (12, "HHI")
    entries = file.read(size * min(count, 65_535))
    tags = {}
    for start in range(0, len(entries) - size + 1, size):
        tag, kind, values = struct.unpack_from(order + head, entries, start)
        if values == 1:
            (tags[tag],) = struct.unpack_from(
                order + ("H" if kind == _SHORT else "I"), entries, start + (size + 4) // 2
            )
    return tags, _number(file, order, 8 if is_big else 4)


def _number(file: BinaryIO, order: str, size: int) -> int:
    (number,) = struct.unpack(order + {2: "H", 4: "I", 8: "Q"}[size], file.read(size))
    return int(number)
