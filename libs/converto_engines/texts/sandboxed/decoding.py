"""Detects the encoding of text: UTF-8, UTF-16 with a byte order mark, else Windows-1252.

Text and sheets opened by LibreOffice follow the same rules, so a file reads the same on every route.
"""

from pathlib import Path

from converto_engines.runtime.sandboxed.protocol import Refused

_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: str, notes: list[str]) -> str:
    """Return the whole text with its own line ends; refuses text with NUL characters.

    Adds a note for the user when the encoding is an assumption.
    """
    content = Path(path).read_bytes()
    text = decoded(content)
    if not content.startswith(_UTF16_BOMS) and not _is_utf8(content):
        notes.append("The text is not UTF-8 and was read as Windows-1252. Check its accented letters")
    if "\0" in text:
        raise Refused("corrupt", "The file is not text: it contains NUL characters")
    return text


def decoded(content: bytes) -> str:
    """Return text without its byte order mark; undecodable bytes become replacement characters."""
    if content.startswith(_UTF16_BOMS):
        return content.decode("utf-16", errors="replace")
    if _is_utf8(content):
        return content.decode("utf-8-sig")
    return content.decode("windows-1252", errors="replace")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return True
