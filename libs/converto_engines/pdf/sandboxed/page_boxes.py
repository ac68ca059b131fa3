"""Mends the boxes of pages that readers treat differently, and reads the units of scaled pages. Needs pikepdf."""

import math
from typing import Any

import pikepdf

Box = tuple[float, float, float, float]
_LETTER = (0, 0, 612, 792)
"""Points; what readers show when a page says no size."""
_MAX_DEPTH = 50  # of the page tree
_SIDES = 4


def prepared(path: str, pages: list[int]) -> tuple[str, dict[int, float]]:
    """Return the path of the document, or of a copy whose odd boxes are mended, and the units that are not 1.

    A unit is the size of a point in 1/72 inch, by page number from 1. What qpdf cannot read stays as it is.
    """
    try:
        with pikepdf.open(path, suppress_warnings=True) as document:
            count = len(document.pages)
            units = {page: _unit(document.pages[page - 1].obj) for page in pages if page <= count}
            changed = {page: unit for page, unit in units.items() if unit != 1}
            if not mend(document):
                return path, changed
            copy = f"{path}.mended.pdf"
            document.save(copy)
            return copy, changed
    except (pikepdf.PdfError, AttributeError, ValueError, TypeError, KeyError, IndexError):
        return path, {}


def mend(document: pikepdf.Pdf) -> set[int]:
    """Give pages without a size that of a letter, and show pages whole that are cropped to nothing.

    Returns the indices of the pages that were changed, from 0.
    """
    return {index for index, page in enumerate(document.pages) if _mend(page.obj)}


def _mend(page: Any) -> bool:
    media, crop = _inherited(page, "/MediaBox"), _inherited(page, "/CropBox")
    shown = _box(media)
    is_changed = shown is None
    if shown is None:
        shown = _LETTER
        page["/MediaBox"] = pikepdf.Array(shown)
    if crop is not None and not _overlap(_box(crop), shown):
        page["/CropBox"] = pikepdf.Array(shown)
        is_changed = True
    return is_changed


def _inherited(page: Any, name: str) -> Any:
    node = page
    for _ in range(_MAX_DEPTH):
        if not isinstance(node, pikepdf.Dictionary):
            return None
        if name in node:
            return node[name]
        node = node.get("/Parent")
    return None


def _box(value: Any) -> Box | None:
    """Return left, bottom, right and top of a box; None when it has no area."""
    if not isinstance(value, pikepdf.Array) or len(value) != _SIDES:
        return None
    try:
        left, bottom, right, top = (float(side) for side in value)
    except (TypeError, ValueError):
        return None
    box = min(left, right), min(bottom, top), max(left, right), max(bottom, top)
    is_sound = all(map(math.isfinite, box)) and box[2] > box[0] and box[3] > box[1]
    return box if is_sound else None


def _overlap(one: Box | None, other: Box) -> bool:
    if one is None:
        return False
    across, up = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return across > 0 and up > 0


def _unit(page: Any) -> float:
    try:
        unit = float(page.get("/UserUnit", 1))
    except (TypeError, ValueError):
        return 1.0
    return unit if math.isfinite(unit) and unit > 0 else 1.0
