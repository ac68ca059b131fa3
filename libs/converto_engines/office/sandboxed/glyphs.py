"""Finds the characters of a PDF for which no installed font has a glyph. Standard library only."""

import ctypes
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_void_p

from converto_engines.pdf.sandboxed.pdfium import Library

# fontconfig prints the characters of each font as hexadecimal ranges: 20-7e a0-17f 192 …
_LIST = ("fc-list", "--format=%{charset}\n", ":scalable=true")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_PRIVATE = "Co"  # letters of symbol fonts, which LibreOffice maps to signs of its own font
_VARIATIONS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_NONCHARACTERS = (0xFFFE, 0xFFFF)


class Fonts:
    """The characters that at least one font of this machine has."""

    def __init__(self, listed: str) -> None:
        """`listed` holds ranges of characters, as fontconfig prints them."""
        self._has = bytearray(sys.maxunicode + 1)
        for span in set(listed.split()):
            first, _, last = span.partition("-")
            start, end = int(first, 16), int(last or first, 16) + 1
            self._has[start:end] = b"\1" * (end - start)

    @classmethod
    def installed(cls) -> "Fonts | None":
        """Ask fontconfig, in the environment of LibreOffice; None when it does not answer."""
        try:
            return cls(subprocess.run(_LIST, capture_output=True, check=True).stdout.decode("ascii"))
        except (OSError, subprocess.CalledProcessError, ValueError):
            return None

    def missing(self, characters: Counter[str]) -> list[str]:
        """The visible characters that no font has, most frequent first."""
        return [character for character, _ in characters.most_common() if self._lacks(character)]

    def _lacks(self, character: str) -> bool:
        code = ord(character)
        if self._has[code] or unicodedata.category(character) in _UNSEEN | {_PRIVATE}:
            return False
        return (code & 0xFFFF) not in _NONCHARACTERS and not any(code in span for span in _VARIATIONS)


def characters_in(library: Library, path: str) -> Counter[str]:
    """Count the characters of a PDF; empty when it does not open."""
    pointer = library.c.FPDF_LoadDocument(c_char_p(path.encode()), None)
    if not pointer:
        return Counter()
    document = c_void_p(pointer)
    try:
        found = Counter[str]()
        for text in _page_texts(library, document):
            found.update(text)
        return found
    finally:
        library.c.FPDF_CloseDocument(document)


def _page_texts(library: Library, document: c_void_p) -> Iterator[str]:
    c = library.c
    c.FPDFText_LoadPage.restype = c_void_p
    for index in range(c.FPDF_GetPageCount(document)):
        loaded = c.FPDF_LoadPage(document, c_int(index))
        if not loaded:
            continue
        page = c_void_p(loaded)
        opened = c.FPDFText_LoadPage(page)
        if opened:
            text = c_void_p(opened)
            yield _text(library, text)
            c.FPDFText_ClosePage(text)
        c.FPDF_ClosePage(page)


def _text(library: Library, page: c_void_p) -> str:
    count = library.c.FPDFText_CountChars(page)
    if count <= 0:
        return ""
    buffer = (ctypes.c_uint16 * (2 * count + 2))()  # a character above U+FFFF is counted once and takes two units
    units = library.c.FPDFText_GetText(page, c_int(0), c_int(count), buffer)
    return bytes(buffer)[: 2 * max(units - 1, 0)].decode("utf-16-le", errors="replace")
