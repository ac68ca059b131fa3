"""Creates small office files, and extracts the text of PDF pages."""

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import openpyxl
import pypdfium2
from pptx import Presentation


def page_texts(pdf: Path) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_textpage().get_text_range().strip() for page in document]
    finally:
        document.close()


def has_colours(pdf: Path) -> bool:
    """Return whether the first page has anything but black, grey and white."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        _, saturation, _ = document[0].render(scale=2).to_pil().convert("HSV").getextrema()
        return bool(saturation[1] > 100)
    finally:
        document.close()


def deck(path: Path, slides: int, hidden: tuple[int, ...] = ()) -> Path:
    presentation = Presentation()
    for number in range(1, slides + 1):
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = f"Slide {number}"
        if number in hidden:
            slide._element.set("show", "0")
    presentation.save(str(path))
    return path


def letter(path: Path, pages: int) -> Path:
    document = docx.Document()
    for number in range(1, pages + 1):
        document.add_paragraph(f"Page {number}")
        if number < pages:
            document.add_page_break()
    document.save(str(path))
    return path


def book(path: Path) -> Path:
    """Two sheets: names with amounts and a sum, and one value that is shown with its currency."""
    workbook = openpyxl.Workbook()
    first = workbook.active
    assert first is not None
    first.title = "Fruit"
    for row in (["apples", 3], ["pears; ripe", 4.5], ["sum", "=B1+B2"]):
        first.append(row)
    second = workbook.create_sheet("Prices & more's")
    second.append(["price", 3])
    second["B1"].number_format = '0.00 "EUR"'
    workbook.save(path)
    return path


def repacked(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Copy a package with each member passed through `change(name, content)`."""
    with zipfile.ZipFile(source) as package, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy:
        for member in package.infolist():
            copy.writestr(member.filename, change(member.filename, package.read(member)))
    return target


def rows_of(path: Path, separator: str = ",") -> list[list[str]]:
    """The cells of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=separator))
