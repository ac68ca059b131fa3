"""Text documents to other text documents, and to plain text, by LibreOffice."""

from typing import Any

import msgspec

from converto_core.catalogue import Loss
from converto_engines.converter import Job, NoOptions
from converto_engines.office.rewriting import OfficeRewriting, check_characters, refuse_empty

_SOURCES = ("docx", "doc", "odt", "rtf", "txt")


class OfficeDocuments(OfficeRewriting):
    """Converter of text documents; see `Converter` for what its attributes mean.

    The same format as target has its use too: templates become documents, and macros are left behind.
    """

    name = "office-documents"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("docx", "odt", "rtf")
    options: type[msgspec.Struct] = NoOptions
    loss = 0.08
    seconds = 1.0
    losses: tuple[Loss, ...] = (
        Loss(text="macros, signatures and what only one of the two formats can say; line and page breaks may move"),
    )

    def compare(self, there: dict[str, Any], made: dict[str, Any], job: Job) -> None:
        """The text has to be there; a document of pictures may have none."""
        del job
        check_characters(there, made)


class OfficeText(OfficeRewriting):
    """Converter of text documents to plain text in UTF-8, lines ending with LF, without a byte order mark."""

    name = "office-text"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("txt",)
    options: type[msgspec.Struct] = NoOptions
    # High, so that no chain takes plain text as a short cut between two formats that hold more.
    loss = 0.6
    seconds = 0.8
    losses: tuple[Loss, ...] = (Loss(text="everything but the words: layout, pictures, headers and footers"),)

    def filter_options(self, there: dict[str, Any], job: Job) -> str:
        """Encoding, line ends, and the last word: no byte order mark."""
        del there, job
        return "UTF8,LF,,,false"

    def compare(self, there: dict[str, Any], made: dict[str, Any], job: Job) -> None:
        """The text has to be there."""
        del job
        check_characters(there, made)
        if made["characters"] == 0:
            raise refuse_empty("text")
