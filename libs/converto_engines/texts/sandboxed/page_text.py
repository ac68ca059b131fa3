"""Runs in the sandbox: the text of an HTML page by inscriptis, laid out as lines, lists and columns, and checked.

Started as `page_text.py REQUEST_JSON`; it speaks as `protocol.py` says. A request has `source`, `output`, `links` and
`packages`; an answer `characters`.
"""

import sys
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument
from converto_engines.texts.sandboxed.decoding import encoding_of_page
from converto_engines.texts.sandboxed.markup_limits import look_over

_CALLS = 5_000  # inscriptis calls itself once for each level of nesting
_LEAST_KEPT = 0.9
_UNSEEN = "script|style|head|template|noscript|object|svg|select|textarea|option|input"


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the text that a reader of the page would see."""
    sys.path[:0] = request["packages"]
    sys.setrecursionlimit(_CALLS)
    content = Path(request["source"]).read_bytes()
    look_over(content)
    tree = _plainer(_parsed(content))
    text = _text(tree, show_links=request["links"]).rstrip() + "\n"
    if not text.strip():
        raise Refused("corrupt", "The page holds no text")
    made = Path(request["output"])
    made.write_text(text, encoding="utf-8", newline="")
    _check(tree, made.read_text(encoding="utf-8"))
    return {"characters": len(text)}


def _parsed(content: bytes) -> Any:
    from lxml import etree, html  # noqa: PLC0415 -- found only after the packages are named

    encoding = encoding_of_page(content)
    parser = html.HTMLParser(encoding=encoding, no_network=True, huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(content, parser=parser)
    except (etree.LxmlError, ValueError) as error:
        raise Refused("corrupt", "The page holds no text") from error


def _plainer(tree: Any) -> Any:
    """What inscriptis would lose: lines of code with colours in it, and whether a box is ticked."""
    from lxml import etree  # noqa: PLC0415

    for block in tree.iter("pre"):
        for line_break in block.iter("br"):
            line_break.tail = "\n" + (line_break.tail or "")
        etree.strip_tags(block, "*")
    for box in tree.xpath("//input[@type='checkbox']"):
        box.tail = ("[x]" if "checked" in box.attrib else "[ ]") + (box.tail or "")
    return tree


def _text(tree: Any, *, show_links: bool) -> str:
    from inscriptis.css_profiles import CSS_PROFILES  # noqa: PLC0415
    from inscriptis.html_engine import Inscriptis  # noqa: PLC0415
    from inscriptis.model.config import ParserConfig  # noqa: PLC0415

    # The strict profile puts blanks between words only where the page has them.
    config = ParserConfig(css=CSS_PROFILES["strict"].copy(), display_links=show_links, display_images=True)
    text: str = Inscriptis(tree, config).get_text()
    return text


def _check(tree: Any, text: str) -> None:
    """Nearly every character of the page is in the text; what a style hides may be missing."""
    hidden = "contains(translate(@style, ' ', ''), 'display:none')"
    names = " or ".join(f"self::{name}" for name in _UNSEEN.split("|"))
    seen = tree.xpath(f"//text()[not(ancestor::*[{names} or @hidden or {hidden}])]")
    expected = sum(len("".join(part.split())) for part in seen)
    found = len("".join(text.split()))
    if found < expected * _LEAST_KEPT:
        raise Refused("output", f"Only {found:,} of {expected:,} characters came through")


def main() -> None:
    """Serve the one request."""
    serve_argument(convert)
