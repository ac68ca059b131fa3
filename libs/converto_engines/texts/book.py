"""EPUB to one self-contained HTML page; PDF and text are made from that page."""

from typing import Any

from converto_core.catalogue import Loss
from converto_engines.converter import Job
from converto_engines.texts.text_converter import TextConverter
from converto_engines.texts.web_page import MAX_PAGE_BYTES


class Book(TextConverter):
    """Converter of EPUB: all chapters in reading order, pictures embedded, the contents as bookmarks of a later PDF."""

    name = "book"
    engine = "lxml"
    sources: tuple[str, ...] = ("epub",)
    targets: tuple[str, ...] = ("html",)
    loss = 0.1
    seconds = 1.0
    losses: tuple[Loss, ...] = (
        Loss(text="the book's own typefaces and styles; drawings inside the text; sound and film"),
    )
    program = "book"
    packages = ("lxml", "nh3")
    distribution = "lxml"
    content = "book"
    max_source_bytes = MAX_PAGE_BYTES
    titled_sources: tuple[str, ...] = ("epub",)

    def request_options(self, job: Job) -> dict[str, Any]:
        """Return the limits of the archive and of the page, and the title of a book without one."""
        return {
            "entries": job.limits.entries,
            "unpacked_bytes": job.limits.unpacked_bytes,
            "page_bytes": MAX_PAGE_BYTES,
            "title": job.title,
        }
