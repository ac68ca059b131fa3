"""Markdown to one HTML page with markdown-it; PDF and text are made from that page."""

from typing import Any

from converto_core.catalogue import Loss
from converto_engines.converter import Job
from converto_engines.texts.text_converter import TextConverter


class Markdown(TextConverter):
    """Converter of Markdown to a page with embedded style; pictures stay links, as in the source."""

    name = "markdown"
    engine = "markdown-it-py"
    sources: tuple[str, ...] = ("md",)
    targets: tuple[str, ...] = ("html",)
    loss = 0.0
    losses: tuple[Loss, ...] = (Loss(text="scripts, styles, frames and forms in HTML inside the text"),)
    program = "markdown_page"
    packages = ("markdown_it", "mdit_py_plugins", "mdurl", "linkify_it", "nh3", "lxml")
    distribution = "markdown-it-py"
    content = "text"
    max_source_bytes = 16 * 1024**2
    titled_sources: tuple[str, ...] = ("md",)

    def request_options(self, job: Job) -> dict[str, Any]:
        """Return the title of a text without a heading."""
        return {"title": job.title}
