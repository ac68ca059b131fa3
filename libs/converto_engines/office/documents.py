"""Text documents to other text documents and to plain text, with LibreOffice."""

from converto_core.catalogue import Loss
from converto_engines.converter import Job
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


class OfficeText(OfficeRewriting):
    """Converter of text documents to plain text in UTF-8, lines ending with LF, without a byte order mark."""

    name = "office-text"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("txt",)
    # High, so that no chain uses plain text as a shortcut between two richer formats.
    loss = 0.6
    seconds = 0.8
    losses: tuple[Loss, ...] = (Loss(text="everything but the text: layout, pictures, headers and footers"),)

    def filter_options(self, expected: Counts, job: Job) -> str:
        """Encoding, line ends and, as the last value, no byte order mark."""
        del expected, job
        return "UTF8,LF,,,false"

    def compare(self, expected: Counts, found: Counts, job: Job) -> None:
        """Compare the text, and raise `BadSource` when there is none."""
        super().compare(expected, found, job)
        if found["characters"] == 0:
            raise empty_source("text")
