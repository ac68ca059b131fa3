"""Looks for the words of each page: PDF by pdfium, pages by poppler, office files by their own libraries."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docx
from lxml import etree, html
from PIL import Image, ImageOps, ImageStat
from pptx import Presentation

from tests.engines.office.samples import page_texts
from tests.engines.pairs.checks.pictures import alike, by_poppler, by_vips, opened
from tests.engines.pairs.pair import Fault, Result, apart, lacking, unlike

TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DPI = 150
_ROUNDING = 2  # pixels, because each renderer rounds points in its own way
_SVG = "{http://www.w3.org/2000/svg}"


def words(result: Result) -> list[str]:
    """All words of the source in reading order."""
    return [word for page in result.pair.sample.pages for word in page]


def pdf(result: Result) -> Iterator[str]:
    """The pages of the source, each with its words."""
    texts = page_texts(result.path)
    pages = result.pair.sample.pages
    yield from unlike("pages", len(texts), len(pages))
    for number, (text, right) in enumerate(zip(texts, pages, strict=False), 1):
        yield from lacking(f"page {number}", text, right)


def page_pictures(result: Result) -> Iterator[str]:
    """A picture of each page at 150 dots per inch, like the page of the PDF as another program draws it."""
    for number, path in _paged(result):
        (found,) = opened(path, result.pair.target)
        right = by_poppler(_pdf_beside(result), number, _DPI)
        yield from apart(f"page {number}: width", found.width, right.width, _ROUNDING)
        yield from apart(f"page {number}: height", found.height, right.height, _ROUNDING)
        yield from _same_look(number, found, right)


def page_drawings(result: Result) -> Iterator[str]:
    """A drawing of each page, which looks like the page and has no picture in place of shapes."""
    for number, path in _paged(result):
        root = etree.parse(path).getroot()
        yield from unlike("root element", root.tag, f"{_SVG}svg")
        yield from unlike(f"page {number}: pictures", len(root.findall(f".//{_SVG}image")), 0)
        found = by_vips(path)
        right = by_poppler(_pdf_beside(result), number, 96).resize(found.size)
        yield from _same_look(number, found, right)


def text(result: Result) -> Iterator[str]:
    """All words, in order, as UTF-8."""
    content = result.path.read_text(encoding="utf-8")
    yield from _in_order(content, words(result))


def page(result: Result) -> Iterator[str]:
    """An HTML page with all words, the table's row as a row."""
    tree = html.parse(result.path, parser=html.HTMLParser(encoding="utf-8"))
    yield from _in_order(tree.getroot().text_content(), words(result))
    rows = [[cell.text_content() for cell in row.iter("td")] for row in tree.iter("tr")]
    cells = list(result.pair.sample.pages[0][1:3])
    if cells not in rows:
        yield f"rows: {rows} without {cells}"


def document(result: Result) -> Iterator[str]:
    """A document with all words and the table."""
    target = result.pair.target
    yield from text_document(result)
    cells = list(result.pair.sample.pages[0][1:3])
    tables = _TABLES[target](result.path)
    if cells not in tables:
        yield f"tables: {tables} without the row {cells}"


def text_document(result: Result) -> Iterator[str]:
    """A document with all words; their layout is lost."""
    yield from _in_order(_WORDS[result.pair.target](result.path), words(result))


def slides(result: Result) -> Iterator[str]:
    """A deck with the words of each slide."""
    found = _SLIDES[result.pair.target](result.path)
    right = result.pair.sample.pages
    yield from unlike("slides", len(found), len(right))
    for number, (shown, expected) in enumerate(zip(found, right, strict=False), 1):
        yield from lacking(f"slide {number}", shown, expected)


def open_document(path: Path, kind: str) -> etree._Element:
    """The content of an OpenDocument file; `Fault` when its type is not `kind`."""
    with zipfile.ZipFile(path) as package:
        found = package.read("mimetype").decode()
        if found != f"application/vnd.oasis.opendocument.{kind}":
            raise Fault(f"the file is {found}")
        return etree.fromstring(package.read("content.xml"))


def lines(element: etree._Element) -> list[str]:
    """The text of each paragraph and heading below an element."""
    return ["".join(found.itertext()) for found in element.iter(f"{TEXT}p", f"{TEXT}h")]


def _in_order(content: str, right: list[str]) -> Iterator[str]:
    flat = " ".join(content.split())
    yield from lacking("text", flat, right)
    place = 0
    for word in right:
        found = flat.find(word, place)
        if found < 0:
            yield f"the words are not in order, {word!r} comes too early: {flat[:200]!r}"
            return
        place = found + len(word)


def _paged(result: Result) -> Iterator[tuple[int, Path]]:
    right = len(result.pair.sample.pages)
    if len(result.paths) != right:
        raise Fault(f"files: {len(result.paths)} instead of {right}, one a page")
    yield from enumerate(result.paths, 1)


def _pdf_beside(result: Result) -> Path:
    assert result.beside is not None
    return result.beside


def _same_look(number: int, found: Image.Image, right: Image.Image) -> Iterator[str]:
    yield from (f"page {number}: {fault}" for fault in alike(found, right))
    yield from apart(f"page {number}: ink compared with the PDF", _ink(found) / max(_ink(right), 1e-6), 1.0, 0.35)


def _ink(picture: Image.Image) -> float:
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return float(ImageStat.Stat(ImageOps.invert(Image.alpha_composite(white, picture).convert("L"))).mean[0])


def _word_lines(path: Path) -> str:
    written = docx.Document(str(path))
    shown = [paragraph.text for paragraph in written.element.body.iter() if paragraph.tag.endswith("}t")]
    return "\n".join(line or "" for line in shown)


def _word_rows(path: Path) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for table in docx.Document(str(path)).tables for row in table.rows]


def _open_lines(path: Path) -> str:
    return "\n".join(lines(open_document(path, "text")))


def _open_rows(path: Path) -> list[list[str]]:
    rows = open_document(path, "text").iter(f"{TABLE}table-row")
    return [["".join(cell.itertext()) for cell in row.iter(f"{TABLE}table-cell")] for row in rows]


def _rich_text(path: Path) -> str:
    """The text of an RTF file without its control words; cells and rows end with `|` and a line."""
    content = path.read_text(encoding="ascii")
    if not content.startswith(r"{\rtf1"):
        raise Fault("no RTF file")
    content = re.sub(r"(\\[a-z]+-?\d*)[\r\n]+", r"\1 ", content)  # a line end ends a control word
    content = re.sub(r"[\r\n]", "", content)
    content = re.sub(r"\\u(-?\d+) ?(\\'[0-9a-f]{2}|\?)?", lambda found: chr(int(found[1]) % 65536), content)
    content = re.sub(r"\\'([0-9a-f]{2})", lambda found: bytes.fromhex(found[1]).decode("cp1252", "replace"), content)
    content = re.sub(r"\\cell\b ?", "|", re.sub(r"\\(row|par|page)\b ?", "\n", content))
    return re.sub(r"\\\*?[a-z]*-?\d* ?|[{}]", "", content)


def _rich_rows(path: Path) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[:-1]] for line in _rich_text(path).split("\n")]


def _powerpoint_slides(path: Path) -> list[str]:
    return [
        "\n".join(shape.text_frame.text for shape in slide.shapes if shape.has_text_frame)
        for slide in Presentation(str(path)).slides
    ]


def _open_slides(path: Path) -> list[str]:
    return ["\n".join(lines(page)) for page in open_document(path, "presentation").iter(f"{DRAW}page")]


_WORDS = {"docx": _word_lines, "odt": _open_lines, "rtf": _rich_text}
_TABLES = {"docx": _word_rows, "odt": _open_rows, "rtf": _rich_rows}
_SLIDES = {"pptx": _powerpoint_slides, "odp": _open_slides}
