"""Converts an EPUB to one sanitised, self-contained HTML page and verifies it.

Request: `source`, `output`, `packages`, `entries`, `unpacked_bytes`, `page_bytes`, `title`. Answer:
`chapters`, `characters`.
"""

import sys
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.archive import Archive
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_argument
from converto_engines.texts.sandboxed.book_plan import ContentsEntry, Plan, read_contents, read_plan
from converto_engines.texts.sandboxed.chapter import Chapters
from converto_engines.texts.sandboxed.html_document import characters_of, whole_page
from converto_engines.texts.sandboxed.markup_limits import check_size

_MIN_KEPT_SHARE = 0.98  # of the characters
_STYLE = """
.chapter { font-family: "Liberation Serif", "Noto Serif", Georgia, serif }
.chapter + .chapter { break-before: page }
figure { text-align: center }
@media screen { .chapter + .chapter { margin-top: 5rem } .chapter img { max-height: 95vh } }
@media print { .chapter { font-size: 11pt } .chapter img { max-height: 230mm } }
"""


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the page the request names and return its number of chapters and characters."""
    sys.path[:0] = request["packages"]
    archive = Archive(request["source"], entries=request["entries"], unpacked_bytes=request["unpacked_bytes"])
    plan = read_plan(archive)
    chapters = Chapters(archive, plan.chapters, max_bytes=request["page_bytes"])
    bodies = [_chapter_body(chapters, number, len(plan.chapters)) for number in range(len(plan.chapters))]
    style = _STYLE + _bookmarks(read_contents(archive, plan), chapters)
    title = plan.title or request["title"] or "Book"
    page = whole_page(title, "\n".join(bodies), language=plan.language, style=style)
    check_size(page.encode())
    output = Path(request["output"])
    output.write_text(page, encoding="utf-8", errors="replace")
    return _verify(output.read_text(encoding="utf-8"), chapters, plan)


def _chapter_body(chapters: Chapters, number: int, count: int) -> str:
    report_progress(100 * number / count, f"chapter {number + 1} of {count}")
    return chapters.body(number)


def _bookmarks(contents: list[ContentsEntry], chapters: Chapters) -> str:
    """Return CSS that makes the book's table of contents, instead of its headings, the bookmarks of a later PDF."""
    rules = [
        f'[id="{anchor}"] {{ bookmark-level: {entry.level}; bookmark-label: "{_css_text(entry.label)}" }}'
        for entry in contents
        if (anchor := chapters.anchor(entry.member, entry.fragment)) is not None
    ]
    return "\n".join(["h1, h2, h3, h4, h5, h6 { bookmark-level: none }", *rules]) if rules else ""


def _css_text(text: str) -> str:
    """Escape text for a quoted CSS string inside an HTML `style` element."""
    return "".join(letter if letter.isalnum() or letter == " " else f"\\{ord(letter):06x}" for letter in text)


def _verify(page: str, chapters: Chapters, plan: Plan) -> dict[str, Any]:
    characters = characters_of(page)
    if characters < chapters.characters * _MIN_KEPT_SHARE:
        raise Refused("output", f"The page holds only {characters:,} of the book's {chapters.characters:,} characters")
    if page.count('<section class="chapter"') != len(plan.chapters):
        raise Refused("output", "A chapter of the book is missing from the page")
    if not characters and "<img" not in page:
        raise Refused("corrupt", "The book is empty")
    return {"chapters": len(plan.chapters), "characters": characters}


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(convert)
