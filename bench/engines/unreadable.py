"""Files of the corpus that no program can convert to some target, each with its reason.

They are test files of other projects that are damaged, empty or encrypted on purpose. Files listed here are left out of
the count, and the bench says so when one of them does convert, so that the table cannot hide anything.
"""

from typing import Final

EVERY_TARGET: Final = "*"

_NO_SURFACE: Final = "contains points or edges only, no surface"
_NO_TEXT: Final = "contains no text, only pictures or drawings; pdftotext finds none either"
_CUT_OFF: Final = "is truncated after its header, with 3 KB or less left; Pillow and ffmpeg cannot read it either"

REASONS: Final[dict[tuple[str, str], str]] = {
    ("occt__edge.brep", EVERY_TARGET): _NO_SURFACE,
    ("assimp__issue623.ply", EVERY_TARGET): _NO_SURFACE,
    ("trimesh__points_emptyface.ply", EVERY_TARGET): _NO_SURFACE,
    ("assimp__BoxWithInfinites.glb", EVERY_TARGET): "has vertices at infinity",
    ("tika__testAVIF.avif", EVERY_TARGET): _CUT_OFF,
    ("tika__testHEIC_livePhoto.heic", EVERY_TARGET): _CUT_OFF,
    ("pillow__timeout-c8efc3fded6426986ba867a399791bae544f59bc.psd", EVERY_TARGET): "was made broken by a fuzzer",
    ("libvips__17000x17000.avif", EVERY_TARGET): "has 289 million pixels, more than the limit",
    ("subs.srt", "pdf"): "is not a document: subtitles convert to subtitles only",
    ("pdf.js__bitmap-composite-or-xor-replace-refine.pdf", "txt"): _NO_TEXT,
    ("pdf.js__function_based_shading.pdf", "txt"): _NO_TEXT,
    ("pdf.js__issue11931.pdf", "txt"): _NO_TEXT,
    ("pdf.js__issue16278.pdf", "txt"): _NO_TEXT,
    ("pdf.js__issue1985.pdf", "txt"): _NO_TEXT,
    ("pdf.js__issue4706.pdf", "txt"): _NO_TEXT,
}
"""Reasons by file name and target; `EVERY_TARGET` for a file that cannot be converted at all."""


def reason_for(name: str, target: str) -> str | None:
    """Return why this file cannot be converted to the target; None when it should be."""
    return REASONS.get((name, target)) or REASONS.get((name, EVERY_TARGET))
