"""Looks over markup before a slow reader gets it: how many elements, how deep. It runs inside the sandbox.

libxml2 reads 100 MB in seconds where a page layout would take hours; it keeps nothing, opens nothing and asks no
network.
"""

from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused

MOST_ELEMENTS = 250_000  # about ten thousand pages of text
DEEPEST = 400  # browsers give up at 512; each level costs the layout a few calls
_WITHOUT_END = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})


def look_over(content: bytes) -> None:
    """Refuse a page whose layout could not end; `content` is HTML as it came."""
    from lxml import etree  # noqa: PLC0415 -- found only after the packages are named

    parser = etree.HTMLParser(target=_Count(), no_network=True, huge_tree=True)
    try:
        etree.fromstring(content, parser)
    except etree.LxmlError:
        return  # the reader proper is more patient, and has its own limits


class _Count:
    """Counts while libxml2 reads, and stops it."""

    def __init__(self) -> None:
        self._elements = self._depth = 0

    def start(self, name: str, _attributes: Any) -> None:
        """Count an opening tag."""
        self._elements += 1
        self._depth += name not in _WITHOUT_END
        if self._elements > MOST_ELEMENTS:
            raise Refused("too_large", f"The page has more than {MOST_ELEMENTS:,} elements. Please split it")
        if self._depth > DEEPEST:
            raise Refused("too_large", f"The page's elements are nested more than {DEEPEST} deep")

    def end(self, name: str) -> None:
        """Count a closing tag, also one that only libxml2 sees."""
        self._depth -= name not in _WITHOUT_END

    def data(self, _text: str) -> None:
        """Text does not matter here."""

    def close(self) -> None:
        """Nothing is kept."""
