"""Text documents to other text documents and to plain text, with LibreOffice."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_engines.converter import Job
from converto_engines.office.open_document import OpenDocument
from converto_engines.office.rewriting import Counts, OfficeRewriting, empty_source

_SOURCES = ("docx", "doc", "odt", "rtf", "txt")


class OfficeDocuments(OfficeRewriting):
    """Converter of text documents; see `Converter` for what its attributes mean.

    Converting to the same format is useful too: templates become documents, and macros are removed.
    """

    name = "office-documents"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("docx", "odt", "rtf")
    loss = 0.08
    seconds = 1.0
    losses: tuple[Loss, ...] = (
        Loss(text="macros, signatures and features of only one of the two formats; line and page breaks may move"),
    )


_NOTES = {
    "accepted": "Tracked changes were accepted, so deleted text is left out; the option changes rejects them instead",
    "rejected": "Tracked changes were rejected, so inserted text is left out",
}


class TextOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of the text of a document."""

    changes: Annotated[
        Literal["accepted", "rejected"],
        Meta(description="Tracked changes. accepted: the text with all of them; rejected: the text as it was before."),
    ] = "accepted"


class OfficeText(OfficeRewriting):
    """Converter of text documents to plain text in UTF-8, lines ending with LF, without a byte order mark.

    Text in frames and text boxes comes after the body.
    """

    name = "office-text"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("txt",)
    options: type[msgspec.Struct] = TextOptions
    is_editing = True
    # High, so that no chain uses plain text as a shortcut between two richer formats.
    loss = 0.6
    seconds = 0.8
    losses: tuple[Loss, ...] = (
        Loss(text="everything but the text: layout, pictures, comments, headers and footers"),
        Loss(text="tracked changes as such: they are accepted, or rejected by option"),
    )

    async def prepare(self, document: OpenDocument, job: Job) -> None:
        """Accept or reject all tracked changes: plain text has no marks, so old and new words would run together."""
        if (await document.review(job.options.changes))["changes"]:
            job.note(_NOTES[job.options.changes])

    def filter_options(self, expected: Counts, job: Job) -> str:
        """Encoding, line ends and, as the last value, no byte order mark."""
        del expected, job
        return "UTF8,LF,,,false"

    def compare(self, expected: Counts, found: Counts, job: Job) -> None:
        """Compare the text, and raise `BadSource` when there is none."""
        super().compare(expected, found, job)
        if found["characters"] == 0:
            raise empty_source("text")
