"""Prepares plain text and tables for LibreOffice: encoding and separator. Standard library only."""

from pathlib import Path

from converto_engines.runtime.sandboxed.protocol import Refused

_SAMPLE_BYTES = 64 * 1024
_SAMPLE_LINES = 20
_SEPARATORS = ",;\t|"


def to_utf8(path: Path) -> str:
    """Rewrite a text file as UTF-8 and return its beginning; what is neither UTF-8 nor UTF-16 is Windows-1252."""
    text = _decoded(path.read_bytes())
    if "\0" in text:
        raise Refused("unreadable")
    path.unlink()  # a hard link to the worker's copy of the source, which must not change
    path.write_text(text, encoding="utf-8", newline="")
    return text[:_SAMPLE_BYTES]


def separator_of(sample: str) -> str:
    """Return the separator with the highest count that every one of the first lines reaches."""
    lines = [line for line in sample.splitlines()[:_SAMPLE_LINES] if line.strip()]
    if not lines:
        return ","
    return max(_SEPARATORS, key=lambda mark: (min(line.count(mark) for line in lines), lines[0].count(mark)))


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("windows-1252", errors="replace")
