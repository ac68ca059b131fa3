"""Reads text whose encoding nobody told: UTF-8, UTF-16 with its mark, else Windows-1252. It runs inside the sandbox.

The same rules as for text and sheets that LibreOffice opens, so that a file reads the same on every route.
"""

import re
from pathlib import Path

from converto_engines.runtime.sandboxed.protocol import Refused

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DECLARED = re.compile(rb"charset|^\xff\xfe|^\xfe\xff|^\xef\xbb\xbf", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 1024  # where browsers look for it


def read_text(path: str) -> str:
    """The whole text with line ends as they are; refuses what holds NUL characters, which no text does."""
    text = decoded(Path(path).read_bytes())
    if "\0" in text:
        raise Refused("corrupt", "The file is not text: it holds bytes that no text has")
    return text


def decoded(content: bytes) -> str:
    """Text without its mark; a byte that fits nowhere becomes a replacement character."""
    if content.startswith(_UTF16_MARKS):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("windows-1252", errors="replace")


def encoding_of_page(content: bytes) -> str | None:
    """What to read an HTML page with when it does not say so itself; None leaves it to the page or to HTML's rules."""
    if _DECLARED.search(content[:_DECLARED_WITHIN_BYTES]):
        return None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"
