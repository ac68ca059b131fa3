"""Options of the PDF of a deck or a workbook, checked in its pages."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import openpyxl
import pypdfium2
import pytest
from pptx import Presentation

from converto_core.errors import BadOptions
from tests.engines.office.samples import deck, letter, page_texts

Convert = Callable[..., Awaitable[Path]]


def spoken(path: Path) -> Path:
    presentation = Presentation(str(deck(path, 3, hidden=(2,))))
    for number, slide in enumerate(presentation.slides, 1):
        slide.notes_slide.notes_text_frame.text = f"Say {number}"
    presentation.save(str(path))
    return path


def wide(path: Path) -> Path:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    for row in range(120):
        sheet.append([f"r{row}c{column}" for column in range(30)])
    workbook.create_sheet("More").append(["second sheet"])
    workbook.save(path)
    return path


def sizes(pdf: Path) -> list[tuple[float, float]]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_size() for page in document]
    finally:
        document.close()


async def test_notes_append_a_page_per_slide(convert: Convert, tmp_path: Path) -> None:
    pages = page_texts(await convert(spoken(tmp_path / "deck.pptx"), notes=True))

    assert pages[:2] == ["Slide 1", "Slide 3"]
    assert ["Say 1" in pages[2], "Say 3" in pages[3], len(pages)] == [True, True, 4]


async def test_notes_of_chosen_pages_only(convert: Convert, tmp_path: Path) -> None:
    pages = page_texts(await convert(spoken(tmp_path / "deck.pptx"), notes=True, pages="2"))

    assert pages[0] == "Slide 3" and "Say 3" in pages[1] and len(pages) == 2


async def test_notes_change_nothing_for_documents(convert: Convert, tmp_path: Path) -> None:
    assert page_texts(await convert(letter(tmp_path / "letter.docx", 2), notes=True)) == ["Page 1", "Page 2"]


async def test_hidden_slides_are_included_on_request(convert: Convert, tmp_path: Path) -> None:
    source = deck(tmp_path / "deck.pptx", 3, hidden=(2,))

    assert page_texts(await convert(source, hidden_slides=True)) == ["Slide 1", "Slide 2", "Slide 3"]
    assert page_texts(await convert(source, hidden_slides=True, pages="2-3")) == ["Slide 2", "Slide 3"]


async def test_deck_of_hidden_slides_converts_on_request(convert: Convert, tmp_path: Path) -> None:
    source = deck(tmp_path / "deck.pptx", 2, hidden=(1, 2))

    assert page_texts(await convert(source, hidden_slides=True)) == ["Slide 1", "Slide 2"]


async def test_wide_sheet_spans_pages_as_set(convert: Convert, tmp_path: Path) -> None:
    pages = page_texts(await convert(wide(tmp_path / "wide.xlsx")))

    assert not [text for text in pages if "r0c0" in text and "r0c29" in text]


async def test_sheet_fit_to_width_cuts_off_no_column(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(wide(tmp_path / "wide.xlsx"), sheet_pages="fit_width")

    first, last = page_texts(pdf)[0], page_texts(pdf)[-1]
    assert "r0c0" in first and "r0c29" in first
    assert "second sheet" in last
    assert len(set(sizes(pdf))) == 1


async def test_sheet_on_one_page_is_whole(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(wide(tmp_path / "wide.xlsx"), sheet_pages="one_page")

    pages = page_texts(pdf)
    assert len(pages) == 2
    assert "r0c0" in pages[0] and "r119c29" in pages[0]
    assert sizes(pdf)[0][1] > sizes(pdf)[1][1]


async def test_unknown_sheet_pages_are_bad_options(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(BadOptions):
        await convert(letter(tmp_path / "letter.docx", 1), sheet_pages="poster")
