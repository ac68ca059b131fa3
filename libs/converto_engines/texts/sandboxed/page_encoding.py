"""Finds the encoding of an HTML page: the declared one, unless the bytes contradict it."""

import codecs
import re

_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
_DECLARED = re.compile(rb"""charset\s*=?\s*["']?\s*([A-Za-z0-9._:-]*)""", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 1024  # where browsers look for it
_MARKUP = re.compile(rb"<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_SAMPLE_BYTES = 256 * 1024
_USED_ON_PAGES = [
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "koi8_r", "big5", "gb18030", "shift_jis", "euc_jp", "euc_kr",
]  # fmt: skip
"""The encodings that browsers know besides Unicode, without those that are nearly the same as one of these."""


def encoding_of_page(content: bytes) -> tuple[str | None, list[str]]:
    """Return the encoding, and notes for the user; None when the page or the HTML rules decide.

    A guess is made only for a page of which less than half of the letters beyond ASCII fit the declared encoding.
    """
    if content.startswith(_BYTE_ORDER_MARKS):
        return None, []
    declared = _DECLARED.search(content[:_DECLARED_WITHIN_BYTES])
    if declared is None:
        return ("utf-8" if _fits(content, "utf-8") else None), []
    name = declared[1].decode()
    if not _is_known(name) or _fits(content, name):
        return None, []
    text = content.decode(name, errors="replace")
    lost = text.count("\ufffd")
    note = f"The page declares the encoding {name}, which does not fit: "
    guess = _guess(content) if lost * 2 > sum(character > "\x7f" for character in text) else None
    if guess is None:
        return None, [f"{note}{lost:,} of its characters could not be read"]
    return guess, [f"{note}it was read as {guess}. Check its letters"]


def _is_known(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except LookupError:
        return False


def _fits(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeError:
        return False
    return True


def _guess(content: bytes) -> str | None:
    """Return the encoding in which the text of the page makes the most sense; None when it makes sense in none."""
    from charset_normalizer import from_bytes  # noqa: PLC0415 -- importable only once `packages` are on the path

    sample = _MARKUP.sub(b" ", content[:_SAMPLE_BYTES])
    best = from_bytes(sample, cp_isolation=_USED_ON_PAGES, preemptive_behaviour=False).best()
    if best is None:
        return None
    # Several encodings may give the same text; the first one is the default of browsers.
    name: str = "cp1252" if "cp1252" in best.could_be_from_charset else best.encoding
    return f"windows-{name[2:]}" if name.startswith("cp") else name.replace("_", "-")
