"""Office documents to PDF with the real LibreOffice: every source format, every option, and wrong files."""

import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import openpyxl
import pytest
from PIL import Image
from pptx import Presentation
from pptx.util import Inches

from converto_core.errors import (
    BadOptions,
    BadSource,
    CorruptSource,
    SourceTooLarge,
)
from converto_engines.converter import Limits, Product
from converto_engines.office.libreoffice import LibreOffice
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from tests.engines.office.samples import deck, letter, page_texts

RunJob = Callable[..., Awaitable[list[Product]]]
SAMPLES = (
    "pptx/poi__present1.pptx",
    "pptx/poi__KEY02.pptx",
    "docx/poi__SampleDoc.docx",
    "docx/tika__testWORD_sdtInTextBox.docx",
    "xlsx/poi__Themes.xlsx",
    "xlsx/tika__pic.xlsx",
    "odf/tika__testODTStyles2.odt",
    "odf/tika__testFooter.ods",
    "odf/tika__testMasterFooter.odp",
    "rtf/tika__testRTF.rtf",
    "doc/poi__Bug44431.doc",
    "xls/poi__IndexFunctionTestCaseData.xls",
    "ppt/poi__numbers.ppt",
)


Convert = Callable[..., Awaitable[Path]]


async def test_version_is_a_number(to_pdf: LibreOffice) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", await to_pdf.version() or "")


async def test_version_without_uno_is_none(sandbox: Sandbox) -> None:
    office = WarmOffice(sandbox, python="/usr/bin/no-python-here")

    assert await LibreOffice(office).version() is None


async def test_presentation_has_one_page_per_slide(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(deck(tmp_path / "deck.pptx", 3))

    assert page_texts(pdf) == ["Slide 1", "Slide 2", "Slide 3"]


async def test_document_keeps_its_text(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(letter(tmp_path / "letter.docx", 2))

    assert page_texts(pdf) == ["Page 1", "Page 2"]


async def test_sheet_keeps_its_cells(convert: Convert, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["apples", 3])
    sheet.append(["sum", "=B1*14"])
    book.save(tmp_path / "book.xlsx")

    (text,) = page_texts(await convert(tmp_path / "book.xlsx"))

    assert "apples" in text and "42" in text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
async def test_text_in_any_usual_encoding_keeps_its_letters(convert: Convert, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "note.txt").write_bytes("Grüße aus Köln\n".encode(encoding))

    assert page_texts(await convert(tmp_path / "note.txt")) == ["Grüße aus Köln"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
async def test_csv_with_any_usual_separator_has_separate_cells(
    convert: Convert, tmp_path: Path, separator: str
) -> None:
    lines = ["name", "amount"], ["köln", "7"], ["bonn", "8"]
    (tmp_path / "table.csv").write_text("\n".join(separator.join(line) for line in lines), encoding="utf-8")

    (text,) = page_texts(await convert(tmp_path / "table.csv"))

    assert "köln" in text and separator.strip() not in text.replace("\r\n", " ").split(" ")
    assert f"köln{separator}7" not in text or separator == "\t"


async def test_conversion_does_not_change_the_source(to_pdf: LibreOffice, run_job: RunJob, tmp_path: Path) -> None:
    source = tmp_path / "latin.txt"
    source.write_bytes("Grüße".encode("windows-1252"))

    (product,) = await run_job(to_pdf, source, "txt", "pdf")

    assert (product.path.parent / "source").read_bytes() == source.read_bytes()


@pytest.mark.corpus
@pytest.mark.parametrize("sample", SAMPLES)
async def test_real_samples_make_pdfs_that_open(convert: Convert, corpus: Path, sample: str) -> None:
    pdf = await convert(corpus / sample)

    assert len(page_texts(pdf)) >= 1


async def test_chosen_pages_of_a_deck(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(deck(tmp_path / "deck.pptx", 5), pages="2-3,5")

    assert page_texts(pdf) == ["Slide 2", "Slide 3", "Slide 5"]


async def test_chosen_pages_of_a_document(convert: Convert, tmp_path: Path) -> None:
    assert page_texts(await convert(letter(tmp_path / "letter.docx", 4), pages="2,4")) == ["Page 2", "Page 4"]


async def test_page_choice_counts_visible_slides(convert: Convert, tmp_path: Path) -> None:
    source = deck(tmp_path / "deck.pptx", 5, hidden=(2,))

    assert page_texts(await convert(source)) == ["Slide 1", "Slide 3", "Slide 4", "Slide 5"]
    assert page_texts(await convert(source, pages="2-3")) == ["Slide 3", "Slide 4"]


async def test_deck_of_hidden_slides_is_an_empty_source(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="hidden"):
        await convert(deck(tmp_path / "deck.pptx", 2, hidden=(1, 2)))


@pytest.mark.parametrize("pages", ["4-9", "8-9", "3-2", "0", "1-", "a", "1,,2", "-3"])
async def test_invalid_pages_are_bad_options(convert: Convert, tmp_path: Path, pages: str) -> None:
    with pytest.raises(BadOptions):
        await convert(deck(tmp_path / "deck.pptx", 5), pages=pages)


@pytest.mark.parametrize("pages", ["3-9", "8-9"])
async def test_pages_beyond_the_end_are_bad_options(convert: Convert, tmp_path: Path, pages: str) -> None:
    with pytest.raises(BadOptions, match="requested pages"):
        await convert(letter(tmp_path / "letter.docx", 4), pages=pages)


async def test_too_many_pages_are_too_large(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(SourceTooLarge, match="5 pages; at most 4"):
        await convert(deck(tmp_path / "deck.pptx", 5), limits=Limits(pages=4))
    with pytest.raises(SourceTooLarge, match="5 pages; at most 4"):
        await convert(letter(tmp_path / "letter.docx", 5), limits=Limits(pages=4))


async def test_low_quality_makes_smaller_pictures(convert: Convert, tmp_path: Path) -> None:
    Image.effect_noise((1200, 900), 80).convert("RGB").save(tmp_path / "noise.png")
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    slide.shapes.add_picture(str(tmp_path / "noise.png"), 0, 0, width=Inches(9))
    presentation.save(str(tmp_path / "deck.pptx"))

    low = (await convert(tmp_path / "deck.pptx", quality=10)).stat().st_size
    high = (await convert(tmp_path / "deck.pptx", quality=95)).stat().st_size

    assert low * 2 < high


async def test_pdf_a_is_declared_in_the_file(convert: Convert, tmp_path: Path) -> None:
    source = letter(tmp_path / "letter.docx", 1)

    assert b"pdfaid:part" in (await convert(source, pdf_a=True)).read_bytes()
    assert b"pdfaid:part" not in (await convert(source)).read_bytes()


# Behaviour I13: corrupted, encrypted or mislabelled decks fail clearly and never take a worker down.


@pytest.mark.parametrize("claimed", ["docx", "doc", "odt", "rtf", "pptx", "ppt", "odp", "odg", "xlsx", "xls", "ods"])
@pytest.mark.parametrize(
    "content", [b"just some text\n", b"<html><body>hi</body></html>", b"", random.Random(7).randbytes(4096)]
)
async def test_other_content_never_becomes_a_pdf_of_garbage(
    convert: Convert, tmp_path: Path, claimed: str, content: bytes
) -> None:
    (tmp_path / "lie").write_bytes(content)

    with pytest.raises(CorruptSource):
        await convert(tmp_path / "lie", source_format=claimed)


async def test_deck_named_as_document_is_refused(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(CorruptSource):
        await convert(deck(tmp_path / "deck.pptx", 1), source_format="docx")
    with pytest.raises(CorruptSource):
        await convert(letter(tmp_path / "letter.docx", 1), source_format="pptx")


async def test_binary_text_is_refused(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 10)

    with pytest.raises(CorruptSource):
        await convert(tmp_path / "binary.txt")
