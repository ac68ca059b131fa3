"""Puts the pictures of fonts in colour in the place of the blank glyphs of a PDF. Needs pikepdf and pillow."""

import re
from collections.abc import Iterator
from typing import Any

import pikepdf
from pikepdf import Array, Dictionary, Name
from PIL import Image, ImageDraw, ImageFont

from converto_engines.office.sandboxed.colour_fonts import BLANK

_SIZE_PX, _WIDTH_PX, _HEIGHT_PX, _BASELINE_PX = 109, 136, 128, 101
"""The size in which such fonts have pictures, their width and height, and the base line, from the top."""
_EM = 1000
_BOTTOM = (_BASELINE_PX - _HEIGHT_PX) * _EM / _SIZE_PX
_WIDTH, _HEIGHT = _WIDTH_PX * _EM / _SIZE_PX, _HEIGHT_PX * _EM / _SIZE_PX
_SECTION = re.compile(rb"beginbfchar(.*?)endbfchar", re.DOTALL)
_ENTRY = re.compile(rb"<([0-9A-Fa-f]{2})>\s*<([0-9A-Fa-f]+)>")


def draw(source: str, output: str, fonts: dict[str, str]) -> list[str]:
    """Write `output`; `fonts` are paths by PostScript name. Returns the texts of the glyphs that stay blank."""
    undrawn: list[str] = []
    with pikepdf.open(source) as pdf:
        for font in _blank_fonts(pdf):
            path = fonts[str(font.BaseFont).rpartition(BLANK)[2]]
            undrawn += _replace(pdf, font, ImageFont.truetype(path, _SIZE_PX))
        pdf.save(output)
    return undrawn


def _blank_fonts(pdf: pikepdf.Pdf) -> list[Any]:
    fonts = (thing for thing in pdf.objects if isinstance(thing, Dictionary) and thing.get("/Type") == Name.Font)
    return [font for font in fonts if BLANK in str(font.get("/BaseFont", ""))]


def _replace(pdf: pikepdf.Pdf, font: Any, typeface: ImageFont.FreeTypeFont) -> list[str]:
    """Turn a font into one whose glyphs are pictures (Type 3), with the same codes, widths and texts."""
    undrawn, pictures, programs, names = list[str](), Dictionary(), Dictionary(), Array()
    first, widths = int(font.FirstChar), list(font.Widths)
    for code, text in _texts(font.ToUnicode.read_bytes()):
        name, picture = f"/g{code}", _picture(typeface, text)
        program = f"{float(widths[code - first]):g} 0 d0"
        if picture is None:
            undrawn.append(text)
        else:
            pictures[name] = _embedded(pdf, picture)
            program += f" q {_WIDTH:.2f} 0 0 {_HEIGHT:.2f} 0 {_BOTTOM:.2f} cm {name} Do Q"
        programs[name] = pdf.make_stream(program.encode())
        names.append(code)
        names.append(Name(name))
    for key in ("/BaseFont", "/FontDescriptor"):
        del font[key]
    font.Subtype, font.CharProcs, font.Resources = Name.Type3, programs, Dictionary(XObject=pictures)
    font.Encoding = Dictionary(Type=Name.Encoding, Differences=names)
    font.FontMatrix = Array([1 / _EM, 0, 0, 1 / _EM, 0, 0])
    font.FontBBox = Array([0, round(_BOTTOM), round(_WIDTH), round(_BOTTOM + _HEIGHT)])
    return undrawn


def _texts(mapping: bytes) -> Iterator[tuple[int, str]]:
    """Yield each code of a font with its text, which may be a sequence of characters."""
    for section in _SECTION.findall(mapping):
        for code, text in _ENTRY.findall(section):
            yield int(code, 16), bytes.fromhex(text.decode()).decode("utf-16-be", "replace")


def _picture(typeface: ImageFont.FreeTypeFont, text: str) -> Image.Image | None:
    """Draw a text on a transparent picture; None when nothing is drawn."""
    picture = Image.new("RGBA", (_WIDTH_PX, _HEIGHT_PX))
    ImageDraw.Draw(picture).text((0, _BASELINE_PX), text, font=typeface, anchor="ls", embedded_color=True)
    return picture if picture.getbbox() else None


def _embedded(pdf: pikepdf.Pdf, picture: Image.Image) -> Any:
    kind = {"Type": Name.XObject, "Subtype": Name.Image, "BitsPerComponent": 8}
    size = {"Width": picture.width, "Height": picture.height}
    mask = pdf.make_stream(picture.getchannel("A").tobytes(), **kind, **size, ColorSpace=Name.DeviceGray)
    colours = picture.convert("RGB").tobytes()
    return pdf.make_stream(colours, **kind, **size, ColorSpace=Name.DeviceRGB, SMask=mask)
