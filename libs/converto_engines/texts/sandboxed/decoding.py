"""Detects the encoding of text: UTF-8, UTF-16 with a byte order mark, else Windows-1252.

Text and sheets opened by LibreOffice follow the same rules, so a file reads the same on every route.
"""

import re
from pathlib import Path

from converto_engines.runtime.sandboxed.protocol import Refused

_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_DECLARED = re.compile(rb"charset|^\xff\xfe|^\xfe\xff|^\xef\xbb\xbf", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 1024  # where browsers look for it


def read_text(path: str) -> str:
    """Return the whole text with its own line ends; refuses text with NUL characters."""
    text = decoded(Path(path).read_bytes())
    if "\0" in text:
        raise Refused("corrupt", "The file is not text: it contains NUL characters")
    return text


def decoded(content: bytes) -> str:
    """Return text without its byte order mark; undecodable bytes become replacement characters."""
    if content.startswith(_UTF16_BOMS):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("windows-1252", errors="replace")


def encoding_of_page(content: bytes) -> str | None:
    """Return "utf-8" for an undeclared UTF-8 page; None when the page or the HTML rules decide."""
    if _DECLARED.search(content[:_DECLARED_WITHIN_BYTES]):
        return None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"
