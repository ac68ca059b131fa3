"""Converts an HTML page to plain text with inscriptis, laid out in lines, lists and columns, and verifies it.

Request: `source`, `output`, `links`, `packages`. Answer: `characters`, `notes`.
"""

import sys
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument
from converto_engines.texts.sandboxed.markup_limits import check_size
from converto_engines.texts.sandboxed.page_encoding import text_of_page

_RECURSION_LIMIT = 5_000  # inscriptis recurses once per level of nesting
_MIN_KEPT_SHARE = 0.9
_INVISIBLE = "script|style|head|template|noscript|object|svg|select|textarea|option|input"


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the visible text of the page."""
    sys.path[:0] = request["packages"]
    sys.setrecursionlimit(_RECURSION_LIMIT)
    content = Path(request["source"]).read_bytes()
    check_size(content)
    page, notes = text_of_page(content)
    tree = _prepared(_parsed(page))
    text = _text(tree, show_links=request["links"]).rstrip() + "\n"
    if not text.strip():
        raise Refused("corrupt", "The page contains no text")
    output = Path(request["output"])
    output.write_text(text, encoding="utf-8", newline="")
    _verify(tree, output.read_text(encoding="utf-8"))
    return {"characters": len(text), "notes": notes}


def _parsed(page: str) -> Any:
    """Parse what is decoded already: libxml2 stops at the first byte that does not fit the declared encoding."""
    from lxml import etree, html  # noqa: PLC0415 -- importable only once `packages` are on the path

    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(page.encode(), parser=parser)
    except (etree.LxmlError, ValueError) as error:
        raise Refused("corrupt", "The page contains no text") from error


def _prepared(tree: Any) -> Any:
    """Keep what inscriptis would lose: line breaks in code, the state of checkboxes, the first number of a list."""
    from lxml import etree  # noqa: PLC0415

    for block in tree.iter("pre"):
        for line_break in block.iter("br"):
            line_break.tail = "\n" + (line_break.tail or "")
        etree.strip_tags(block, "*")
    for items in tree.xpath("//ol[@start]"):
        first = next(items.iterchildren("li"), None)
        if first is not None and "value" not in first.attrib:
            first.set("value", items.get("start"))
    for box in tree.xpath("//input[@type='checkbox']"):
        box.tail = ("[x]" if "checked" in box.attrib else "[ ]") + (box.tail or "")
    return tree


def _text(tree: Any, *, show_links: bool) -> str:
    from inscriptis.css_profiles import CSS_PROFILES  # noqa: PLC0415
    from inscriptis.html_engine import Inscriptis  # noqa: PLC0415
    from inscriptis.model.config import ParserConfig  # noqa: PLC0415

    # The strict profile puts spaces between words only where the page has them.
    config = ParserConfig(css=CSS_PROFILES["strict"].copy(), display_links=show_links, display_images=True)
    text: str = Inscriptis(tree, config).get_text()
    return text


def _verify(tree: Any, text: str) -> None:
    """Check that nearly all visible characters are in the text; style sheets may hide some."""
    hidden = "contains(translate(@style, ' ', ''), 'display:none')"
    names = " or ".join(f"self::{name}" for name in _INVISIBLE.split("|"))
    visible = tree.xpath(f"//text()[not(ancestor::*[{names} or @hidden or {hidden}])]")
    expected = sum(len("".join(part.split())) for part in visible)
    written = len("".join(text.split()))
    if written < expected * _MIN_KEPT_SHARE:
        raise Refused("output", f"The text holds only {written:,} of the page's {expected:,} characters")


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(convert)
