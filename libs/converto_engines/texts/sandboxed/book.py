"""Runs in the sandbox: an EPUB book becomes one HTML page with everything in it, cleaned, and is read back.

Started as `book.py REQUEST_JSON`; it speaks as `protocol.py` says. A request has `source`, `output`, `packages`,
`entries`, `unpacked_bytes` and `page_bytes`; an answer `chapters` and `characters`.
"""

import sys
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.archive import Archive
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_argument
from converto_engines.texts.sandboxed.book_plan import Plan, Spot, read_contents, read_plan
from converto_engines.texts.sandboxed.chapter import Chapters
from converto_engines.texts.sandboxed.html_document import characters_of, whole_page
from converto_engines.texts.sandboxed.markup_limits import look_over

_LEAST_KEPT = 0.98
_STYLE = """
.chapter { font-family: "Liberation Serif", "Noto Serif", Georgia, serif }
.chapter + .chapter { break-before: page }
figure { text-align: center }
@media screen { .chapter + .chapter { margin-top: 5rem } .chapter img { max-height: 95vh } }
@media print { .chapter { font-size: 11pt } .chapter img { max-height: 230mm } }
"""


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the page that the request names."""
    sys.path[:0] = request["packages"]
    archive = Archive(request["source"], entries=request["entries"], unpacked_bytes=request["unpacked_bytes"])
    plan = read_plan(archive)
    chapters = Chapters(archive, plan.chapters, most_bytes=request["page_bytes"])
    bodies = [_told(chapters, number, len(plan.chapters)) for number in range(len(plan.chapters))]
    contents = read_contents(archive, plan)
    page = whole_page(
        plan.title, "\n".join(bodies), language=plan.language, style=_STYLE + _bookmarks(contents, chapters)
    )
    look_over(page.encode())
    made = Path(request["output"])
    made.write_text(page, encoding="utf-8", errors="replace")
    return _checked(made.read_text(encoding="utf-8"), chapters, plan)


def _told(chapters: Chapters, number: int, count: int) -> str:
    report_progress(100 * number / count, f"chapter {number + 1} of {count}")
    return chapters.body(number)


def _bookmarks(contents: list[Spot], chapters: Chapters) -> str:
    """The book's own contents as bookmarks of a PDF made from the page, in the place of its headings."""
    rules = [
        f'[id="{anchor}"] {{ bookmark-level: {spot.level}; bookmark-label: "{_css_text(spot.label)}" }}'
        for spot in contents
        if (anchor := chapters.anchor(spot.member, spot.fragment)) is not None
    ]
    return "\n".join(["h1, h2, h3, h4, h5, h6 { bookmark-level: none }", *rules]) if rules else ""


def _css_text(text: str) -> str:
    """Safe between the quotes of CSS, inside a style element of HTML."""
    return "".join(letter if letter.isalnum() or letter == " " else f"\\{ord(letter):06x}" for letter in text)


def _checked(page: str, chapters: Chapters, plan: Plan) -> dict[str, Any]:
    found = characters_of(page)
    if found < chapters.characters * _LEAST_KEPT:
        raise Refused("output", f"Only {found:,} of {chapters.characters:,} characters came through")
    if page.count('<section class="chapter"') != len(plan.chapters):
        raise Refused("output", "A chapter is missing on the page")
    if not found and "<img" not in page:
        raise Refused("corrupt", "The book is empty")
    return {"chapters": len(plan.chapters), "characters": found}


def main() -> None:
    """Serve the one request."""
    serve_argument(convert)
