"""Reads the colours of facets that two programs hide in the unused bytes of a binary STL."""

from typing import Any

_HEADER_BYTES = 80
_IS_SET = 0x8000


def face_colours(path: str, attributes: Any) -> Any | None:
    """Return count × 4 bytes of colour for the 16 bits of each facet; None when the file is not coloured.

    Magics writes a colour for the whole part into the header and clears the highest bit of facets with their own, red
    in the lowest five bits. VisCAM sets the highest bit and has blue in the lowest bits.
    """
    import numpy as np  # noqa: PLC0415 -- importable only once `packages` are on the path

    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        header = file.read(_HEADER_BYTES)
    bits = np.asarray(attributes, dtype=np.uint16)
    mark, _, whole = header.partition(b"COLOR=")
    is_magics = len(mark) < len(header) and len(whole) >= 4
    is_own = (bits & _IS_SET == 0) if is_magics else (bits & _IS_SET != 0)
    if not is_magics and not is_own.any():
        return None
    shifts = (0, 5, 10) if is_magics else (10, 5, 0)
    own = np.stack([(bits >> shift & 31) * 255 // 31 for shift in shifts], axis=1)
    colours = np.full((len(bits), 4), 255, np.uint8)
    colours[:, :3] = np.where(is_own[:, None], own, list(whole[:3]) if is_magics else _UNCOLOURED)
    return colours


_UNCOLOURED = (204, 204, 204)
