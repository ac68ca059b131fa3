"""Finds the encoding of an HTML page as browsers do: the declared one, unless the bytes contradict it."""

import codecs
import re

_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
_DECLARED = re.compile(rb"""charset\s*=?\s*["']?\s*([A-Za-z0-9._:-]*)""", re.IGNORECASE)
_XML = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._:-]+)""")
_NOT_DECODED = frozenset({"replacement", "x-user-defined"})
_DECLARED_WITHIN_BYTES = 1024  # where browsers look for it
_MARKUP = re.compile(rb"<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_SAMPLE_BYTES = 256 * 1024
_USED_ON_PAGES = [
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "koi8_r", "big5", "gb18030", "shift_jis", "euc_jp", "euc_kr",
]  # fmt: skip
"""The encodings that browsers know besides Unicode, without those that are nearly the same as one of these."""


def text_of_page(content: bytes) -> tuple[str, list[str]]:
    """Return the decoded page, and notes for the user; what cannot be decoded becomes U+FFFD."""
    name, notes = encoding_of_page(content)
    if name is None:
        is_utf8 = content.startswith(codecs.BOM_UTF8)
        return content.decode("utf-8-sig" if is_utf8 else "utf-16", errors="replace"), notes
    return content.decode(_codec(name), errors="replace"), notes


def encoding_of_page(content: bytes) -> tuple[str | None, list[str]]:
    """Return the encoding by its name in the WHATWG standard, and notes for the user; None with a byte order mark.

    A page that declares none, or one that nobody knows, is UTF-8 if it can be, else Windows-1252 as in browsers. A
    guess is made only for a page of which less than half of the letters beyond ASCII fit the declared encoding.
    """
    if content.startswith(_BYTE_ORDER_MARKS):
        return None, []
    declared = _XML.match(content) or _DECLARED.search(content[:_DECLARED_WITHIN_BYTES])
    label = declared[1].decode() if declared else ""
    name = _standard_name(label) or ("utf-8" if _fits(content, "utf-8") else "windows-1252")
    if not declared or _fits(content, name):
        return name, []
    text = content.decode(_codec(name), errors="replace")
    lost = text.count("\ufffd")
    note = f"The page declares the encoding {label}, which does not fit: "
    guess = _guess(content) if lost * 2 > sum(character > "\x7f" for character in text) else None
    if guess is None:
        return name, [f"{note}{lost:,} of its characters could not be read"]
    return guess, [f"{note}it was read as {guess}. Check its letters"]


def _standard_name(label: str) -> str | None:
    """Return what browsers take a label for: ISO-8859-1 for Windows-1252, UTF-16 in a page of ASCII for UTF-8."""
    from webencodings import lookup  # type: ignore[import-untyped]  # noqa: PLC0415 -- importable only later

    encoding = lookup(label)
    if encoding is None or encoding.name in _NOT_DECODED:
        return None
    return "utf-8" if encoding.name.startswith("utf-16") else str(encoding.name)


def _codec(name: str) -> str:
    """Return Python's codec with all characters that browsers read in this encoding."""
    from webencodings import lookup  # noqa: PLC0415

    encoding = lookup(name)
    if encoding is None:
        return name
    return "gb18030" if encoding.name == "gbk" else str(encoding.codec_info.name)


def _fits(content: bytes, name: str) -> bool:
    try:
        content.decode(_codec(name))
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
