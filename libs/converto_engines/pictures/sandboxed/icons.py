"""Packs PNG pictures into an icon file (ICO) and extracts them again."""

import struct

LARGEST = 256
_USUAL = (16, 24, 32, 48, 64, 128, LARGEST)
_HEAD = struct.Struct("<HHH")
_ENTRY = struct.Struct("<BBBBHHII")
_IS_ICON, _PLANES, _BITS = 1, 1, 32


def sizes_up_to(largest: int) -> list[int]:
    """Return the usual icon sizes below `largest`, then `largest` itself, in pixels."""
    return [*(side for side in _USUAL if side < largest), largest]


def write(path: str, pictures: list[str], sizes: list[int]) -> None:
    """Pack square PNG files of these sizes into one icon file."""
    contents = []
    for picture in pictures:
        with open(picture, "rb") as file:  # noqa: PTH123 -- pathlib costs time
            contents.append(file.read())
    offset = _HEAD.size + _ENTRY.size * len(sizes)
    with open(path, "wb") as file:  # noqa: PTH123 -- pathlib costs time
        file.write(_HEAD.pack(0, _IS_ICON, len(sizes)))
        for side, content in zip(sizes, contents, strict=True):
            byte = side % 256  # 256 is written as 0
            file.write(_ENTRY.pack(byte, byte, 0, 0, _PLANES, _BITS, len(content), offset))
            offset += len(content)
        file.writelines(contents)


def extract(path: str) -> list[str]:
    """Write each picture of an icon file beside it and return the paths."""
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        content = file.read()
    (_, _, count), parts = _HEAD.unpack_from(content), []
    for number in range(count):
        *_, length, offset = _ENTRY.unpack_from(content, _HEAD.size + number * _ENTRY.size)
        parts.append(f"{path}.part-{number}.png")
        with open(parts[-1], "wb") as file:  # noqa: PTH123 -- pathlib costs time
            file.write(content[offset : offset + length])
    return parts
