"""Copies fonts in colour with blank glyphs; names, widths, characters and their ligatures stay. Needs fontTools."""

from fontTools.ttLib import TTFont, newTable  # type: ignore[import-untyped]
from fontTools.ttLib.tables._g_l_y_f import Glyph  # type: ignore[import-untyped]

from converto_engines.office.sandboxed.colour_fonts import BLANK

_PICTURES = ("CBDT", "CBLC")
_POSTSCRIPT_NAME = 6
_COUNTS = (
    "maxPoints", "maxContours", "maxCompositePoints", "maxCompositeContours", "maxTwilightPoints", "maxStorage",
    "maxFunctionDefs", "maxInstructionDefs", "maxStackElements", "maxSizeOfInstructions", "maxComponentElements",
    "maxComponentDepth",
)  # fmt: skip


def make(folder: str, fonts: dict[str, str]) -> int:
    """Write the copies and return how many there are; fonts whose glyphs are not bitmaps are skipped."""
    return sum(_make(path, f"{folder}/{number}.ttf", name) for number, (name, path) in enumerate(fonts.items()))


def _make(path: str, output: str, name: str) -> bool:
    with TTFont(path) as font:
        if not all(table in font for table in _PICTURES):
            return False
        for table in _PICTURES:
            del font[table]
        _add_blank_outlines(font)
        for record in font["name"].names:
            if record.nameID == _POSTSCRIPT_NAME:
                record.string = BLANK + name
        font.save(output)
    return True


def _add_blank_outlines(font: TTFont) -> None:
    order = font.getGlyphOrder()
    font["loca"], font["glyf"] = newTable("loca"), newTable("glyf")
    font["glyf"].glyphs, font["glyf"].glyphOrder = {glyph: Glyph() for glyph in order}, order
    largest = font["maxp"]
    largest.tableVersion, largest.maxZones = 0x00010000, 1
    for count in _COUNTS:
        setattr(largest, count, 0)
