"""Runs in the sandbox: Markdown becomes one HTML page of its own, cleaned of whatever could run, and read back.

Started as `markdown_page.py REQUEST_JSON`; it speaks as `protocol.py` says. A request has `source`, `output` and
`packages`; an answer `characters`.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument
from converto_engines.texts.sandboxed.decoding import read_text
from converto_engines.texts.sandboxed.html_document import characters_of, cleaned, whole_page

_LEAST_KEPT = 0.95
_LONGEST_TITLE = 120  # characters
_TEXTS = frozenset({"text", "code_inline", "code_block", "fence"})


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the page that the request names."""
    sys.path[:0] = request["packages"]
    reader = _reader()
    tokens = reader.parse(read_text(request["source"]))
    body = cleaned(reader.renderer.render(tokens, reader.options, {}))
    made = Path(request["output"])
    made.write_text(whole_page(_title(tokens), body), encoding="utf-8")
    return {"characters": _check(tokens, made.read_text(encoding="utf-8"))}


def _reader() -> Any:
    """CommonMark with what people expect from README files; raw HTML is let through to be cleaned afterwards."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 -- found only after the packages are named
    from mdit_py_plugins.anchors import anchors_plugin  # noqa: PLC0415
    from mdit_py_plugins.footnote import footnote_plugin  # noqa: PLC0415
    from mdit_py_plugins.front_matter import front_matter_plugin  # noqa: PLC0415
    from mdit_py_plugins.tasklists import tasklists_plugin  # noqa: PLC0415

    reader = MarkdownIt("commonmark", {"html": True, "linkify": True})
    reader.enable(["table", "strikethrough", "linkify"])
    reader.use(front_matter_plugin).use(footnote_plugin).use(tasklists_plugin)
    return reader.use(anchors_plugin, max_level=6)


def _title(tokens: list[Any]) -> str:
    """The first heading, else nothing that anybody would miss."""
    for heading, inline in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            words = "".join(token.content for token in inline.children or () if token.type in _TEXTS)
            return words[:_LONGEST_TITLE] or "Document"
    return "Document"


def _check(tokens: list[Any], page: str) -> int:
    """Every word of the Markdown is on the page; what has raw HTML in it does not count, for cleaning takes
    away on purpose."""
    expected = sum(len("".join(text.split())) for text in _texts(tokens))
    found = characters_of(page)
    if found < expected * _LEAST_KEPT:
        raise Refused("output", f"Only {found:,} of {expected:,} characters came through")
    if not found and "<img" not in page:
        raise Refused("corrupt", "The file holds no text")
    return found


def _texts(tokens: list[Any]) -> Iterator[str]:
    for token in tokens:
        if token.type in _TEXTS:
            yield token.content
        children = token.children or []
        if not any(child.type == "html_inline" for child in children):
            yield from _texts(children)


def main() -> None:
    """Serve the one request."""
    serve_argument(convert)
