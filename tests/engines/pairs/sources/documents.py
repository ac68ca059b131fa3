"""Documents of two pages: a line and a table of one row, then a second line. `pages` are the words of each page."""

from pathlib import Path

import docx

from tests.assets.packages import zipped
from tests.assets.plain_pdf import Page, make_pdf
from tests.engines.pairs.pair import Sample
from tests.engines.pairs.sources.old_office import saved_as
from tests.engines.pairs.sources.open_document import package

FIRST, CELLS, SECOND = "Grüße aus Köln", ("Eider", "Hornung"), "Þórsdóttir schickt Linsen"
TWO_PAGES = ((FIRST, *CELLS), (SECOND,))
ONE_PAGE = ((FIRST, *CELLS, SECOND),)


def word(path: Path) -> None:
    """Write a .docx."""
    document = docx.Document()
    document.add_paragraph(FIRST)
    row = document.add_table(1, 2).rows[0]
    for cell, text in zip(row.cells, CELLS, strict=True):
        cell.text = text
    document.add_page_break()
    document.add_paragraph(SECOND)
    document.save(str(path))


def word_97(path: Path) -> None:
    """Write a .doc."""
    saved_as(path, word, "docx")


def open_text(path: Path) -> None:
    """Write an .odt."""
    cells = "".join(f"<table:table-cell><text:p>{text}</text:p></table:table-cell>" for text in CELLS)
    styles = (
        '<style:style style:name="next" style:family="paragraph"><style:paragraph-properties fo:break-before="page"/>'
        "</style:style>"
    )
    body = (
        f'<text:p>{FIRST}</text:p><table:table table:name="Birds"><table:table-column '
        f'table:number-columns-repeated="2"/><table:table-row>{cells}</table:table-row></table:table>'
        f'<text:p text:style-name="next">{SECOND}</text:p>'
    )
    path.write_bytes(package("text", body, styles))


def rich_text(path: Path) -> None:
    """Write an .rtf."""
    row = r"\trowd\cellx3000\cellx6000 " + "".join(rf"\intbl {text}\cell " for text in CELLS) + r"\row\pard "
    # A paragraph between them: LibreOffice ignores a page break right after a table.
    words = (rf"{FIRST}\par " + row + rf"\par\page {SECOND}\par").replace("ü", r"\'fc").replace("ß", r"\'df")
    words = words.replace("ö", r"\'f6").replace("Þ", r"\'de").replace("ó", r"\'f3")
    path.write_bytes((r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Liberation Serif;}}\f0 " + words + "}").encode())


def plain(path: Path) -> None:
    """Write a .txt."""
    path.write_text("\n".join((FIRST, *CELLS, SECOND, "")), encoding="utf-8")


def markdown(path: Path) -> None:
    """Write a .md."""
    path.write_text(
        f"# {FIRST}\n\n| Bird | Month |\n|---|---|\n| {' | '.join(CELLS)} |\n\n{SECOND}\n", encoding="utf-8"
    )


def _row() -> str:
    return "<table><tr>" + "".join(f"<td>{text}</td>" for text in CELLS) + "</tr></table>"


def page(path: Path) -> None:
    """Write an .html."""
    path.write_text(
        f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>Letter</title></head><body><h1>{FIRST}</h1>{_row()}'
        f'<p style="break-before: page">{SECOND}</p></body></html>',
        encoding="utf-8",
    )


def book(path: Path) -> None:
    """Write an .epub of two chapters."""
    chapter = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>{0}</title></head><body>{1}</body></html>'
    items = "".join(f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in "ab")
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": (
            '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="p.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
        ),
        "p.opf": (
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc='
            f'"http://purl.org/dc/elements/1.1/"><dc:title>Letters</dc:title></metadata><manifest>{items}</manifest>'
            '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
        ),
        "a.xhtml": chapter.format("A", f"<h1>{FIRST}</h1>{_row()}"),
        "b.xhtml": chapter.format("B", f"<p>{SECOND}</p>"),
    }
    path.write_bytes(zipped(parts, stored=("mimetype",)))


def pages(path: Path) -> None:
    """Write a .pdf."""
    words = (" ".join((FIRST, *CELLS)), SECOND)
    make_pdf(path, [Page(432, 288, text=octal(text)) for text in words])


def octal(text: str) -> str:
    """The text as a string of a PDF in Windows' Latin alphabet."""
    return "".join(letter if letter.isascii() else f"\\{ord(letter):03o}" for letter in text)


REWRITABLE = (
    Sample("docx", "docx", "document", word, TWO_PAGES),
    Sample("doc", "doc", "document", word_97, TWO_PAGES),
    Sample("odt", "odt", "document", open_text, TWO_PAGES),
    Sample("rtf", "rtf", "document", rich_text, TWO_PAGES),
    Sample("txt", "txt", "text", plain, ONE_PAGE),
)
PAGES = (
    Sample("md", "md", "web page", markdown, ONE_PAGE),
    Sample("html", "html", "web page", page, TWO_PAGES),
    Sample("epub", "epub", "web page", book, TWO_PAGES),
    Sample("pdf", "pdf", "pages", pages, TWO_PAGES),
)
