"""HTML to plain text with inscriptis, which keeps lists as lists and tables in columns."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_engines.converter import Job
from converto_engines.texts.text_converter import TextConverter
from converto_engines.texts.web_page import MAX_PAGE_BYTES


class TextOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of plain text."""

    links: Annotated[bool, Meta(description="Write the address after each link")] = False


class PageText(TextConverter):
    """Converter of HTML to UTF-8 text."""

    name = "page-text"
    engine = "inscriptis"
    sources: tuple[str, ...] = ("html",)
    targets: tuple[str, ...] = ("txt",)
    options: type[msgspec.Struct] = TextOptions
    loss = 0.5
    losses: tuple[Loss, ...] = (Loss(text="everything but the text: pictures, typefaces, colours; links unless asked"),)
    program = "page_text"
    packages = ("inscriptis", "lxml", "charset_normalizer", "webencodings")
    distribution = "inscriptis"
    content = "page"
    max_source_bytes = MAX_PAGE_BYTES

    def request_options(self, job: Job) -> dict[str, Any]:
        """Return whether links are written."""
        return {"links": job.options.links}
