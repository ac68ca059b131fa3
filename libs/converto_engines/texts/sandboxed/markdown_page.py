"""Converts Markdown to one sanitised HTML page and verifies it.

Request: `source`, `output`, `packages`, `title` (for a text without a heading). Answer: `characters`, `notes`.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument
from converto_engines.texts.sandboxed.decoding import read_text
from converto_engines.texts.sandboxed.html_document import characters_of, cleaned, whole_page

_MIN_KEPT_SHARE = 0.95
_MAX_TITLE_CHARACTERS = 120
_TEXT_TOKENS = frozenset({"text", "code_inline", "code_block", "fence"})


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the page the request names and return its number of characters."""
    sys.path[:0] = request["packages"]
    reader, notes = _reader(), list[str]()
    tokens = reader.parse(read_text(request["source"], notes))
    body = cleaned(reader.renderer.render(tokens, reader.options, {}))
    output = Path(request["output"])
    output.write_text(whole_page(_heading(tokens) or request["title"] or "Document", body), encoding="utf-8")
    return {"characters": _verify(tokens, output.read_text(encoding="utf-8")), "notes": notes}


def _reader() -> Any:
    """Return a CommonMark parser with the usual README extensions; raw HTML passes and is sanitised later."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 -- importable only once `packages` are on the path
    from mdit_py_plugins.anchors import anchors_plugin  # noqa: PLC0415
    from mdit_py_plugins.footnote import footnote_plugin  # noqa: PLC0415
    from mdit_py_plugins.front_matter import front_matter_plugin  # noqa: PLC0415
    from mdit_py_plugins.tasklists import tasklists_plugin  # noqa: PLC0415

    reader = MarkdownIt("commonmark", {"html": True, "linkify": True})
    reader.enable(["table", "strikethrough", "linkify"])
    reader.use(front_matter_plugin).use(footnote_plugin).use(tasklists_plugin)
    return reader.use(anchors_plugin, max_level=6)


def _heading(tokens: list[Any]) -> str:
    """Return the first heading, empty without one."""
    for heading, inline in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            words = "".join(token.content for token in inline.children or () if token.type in _TEXT_TOKENS)
            return words[:_MAX_TITLE_CHARACTERS]
    return ""


def _verify(tokens: list[Any], page: str) -> int:
    """Count the characters on the page and check that no text of the Markdown is missing.

    Text mixed with raw HTML does not count, because sanitising removes some of it on purpose.
    """
    expected = sum(len("".join(text.split())) for text in _texts(tokens))
    characters = characters_of(page)
    if characters < expected * _MIN_KEPT_SHARE:
        raise Refused("output", f"The page holds only {characters:,} of the file's {expected:,} characters")
    if not characters and "<img" not in page:
        raise Refused("corrupt", "The file contains no text")
    return characters


def _texts(tokens: list[Any]) -> Iterator[str]:
    for token in tokens:
        if token.type in _TEXT_TOKENS:
            yield token.content
        children = token.children or []
        if not any(child.type == "html_inline" for child in children):
            yield from _texts(children)


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(convert)
