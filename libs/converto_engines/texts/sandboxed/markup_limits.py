"""Checks the number and nesting of elements before slow programs read a page.

libxml2 parses 100 MB in seconds, where laying out the page would take hours. No tree is kept and nothing is loaded.
"""

from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused

MAX_ELEMENTS = 250_000  # about ten thousand pages of text
MAX_DEPTH = 400  # browsers stop at 512; each level costs the layout a few calls
_VOID_ELEMENTS = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)


def check_size(content: bytes) -> None:
    """Refuse HTML with too many or too deeply nested elements."""
    from lxml import etree  # noqa: PLC0415 -- importable only once `packages` are on the path

    parser = etree.HTMLParser(target=_Counter(), no_network=True, huge_tree=True)
    try:
        etree.fromstring(content, parser)
    except etree.LxmlError:
        return  # the real parser is more tolerant and has its own limits


class _Counter:
    """Parser target that counts elements and stops the parser at a limit."""

    def __init__(self) -> None:
        self._elements = self._depth = 0

    def start(self, name: str, _attributes: Any) -> None:
        """Count a start tag."""
        self._elements += 1
        self._depth += name not in _VOID_ELEMENTS
        if self._elements > MAX_ELEMENTS:
            raise Refused("too_large", f"The page has more than {MAX_ELEMENTS:,} elements. Convert it in parts")
        if self._depth > MAX_DEPTH:
            raise Refused("too_large", f"The page's elements are nested more than {MAX_DEPTH} deep")

    def end(self, name: str) -> None:
        """Leave an element, also one that libxml2 closes implicitly."""
        self._depth -= name not in _VOID_ELEMENTS

    def data(self, _text: str) -> None:
        """Ignore text."""

    def close(self) -> None:
        """Return nothing: no tree is built."""
