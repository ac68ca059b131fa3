"""Office files to office files; every result is read by a library other than LibreOffice."""

import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import docx
import openpyxl
import pytest
from docx.oxml import parse_xml
from pptx import Presentation

from converto_core.errors import BadOptions, BadSource, CorruptSource, OutputInvalid
from converto_engines.converter import Converter
from converto_engines.office.rewriting import check_characters, check_sheets, check_slides
from converto_engines.office.sandboxed import counts as office_counts
from converto_engines.office.sandboxed import rich_text
from converto_engines.office.slides import OfficeSlides
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from tests.engines.office.samples import book, deck, letter, page_texts, repacked, rows_of

Convert = Callable[..., Awaitable[Path]]
WORDS = ["Grüße aus Köln", "a second line"]
ODF = "urn:oasis:names:tc:opendocument:xmlns"


@pytest.fixture
def slides(sandbox: Sandbox, warm: WarmOffice) -> Converter:
    return OfficeSlides(sandbox, warm)


def written(folder: Path) -> Path:
    document = docx.Document()
    for line in WORDS:
        document.add_paragraph(line)
    document.add_table(1, 1).cell(0, 0).text = "in a table"
    document.save(str(folder / "words.docx"))
    return folder / "words.docx"


def words_in(path: Path) -> list[str]:
    document = docx.Document(str(path))
    return [paragraph.text for paragraph in document.paragraphs if paragraph.text]


@pytest.mark.parametrize("middle", ["docx", "odt", "rtf"])
async def test_rewritten_document_keeps_words_and_table(
    convert: Convert, documents: Converter, tmp_path: Path, middle: str
) -> None:
    made = await convert(written(tmp_path), middle, by=documents)
    back = await convert(made, "docx", by=documents)

    assert words_in(back) == WORDS
    assert docx.Document(str(back)).tables[0].cell(0, 0).text == "in a table"


@pytest.mark.parametrize("middle", ["odt", "rtf"])
async def test_rewritten_document_has_the_target_format(
    convert: Convert, documents: Converter, tmp_path: Path, middle: str
) -> None:
    made = await convert(written(tmp_path), middle, by=documents)

    opening = made.read_bytes()[:100]
    assert opening.startswith(b"{\\rtf") if middle == "rtf" else b"vnd.oasis.opendocument.text" in opening


@pytest.mark.parametrize("source_format", ["docx", "odt", "rtf", "txt"])
async def test_extracted_text_is_utf8_without_byte_order_mark(
    convert: Convert, documents: Converter, text: Converter, tmp_path: Path, source_format: str
) -> None:
    source = written(tmp_path)
    if source_format == "txt":
        source = tmp_path / "latin.txt"
        source.write_bytes("\r\n".join(WORDS).encode("windows-1252"))
    elif source_format != "docx":
        source = await convert(source, source_format, by=documents)

    lines = (await convert(source, "txt", by=text)).read_bytes().decode("utf-8").split("\n")

    assert lines[:2] == WORDS


TEXT_BOX = (
    '<w:r xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    ' xmlns:v="urn:schemas-microsoft-com:vml">'
    '<w:pict><v:shape type="#_x0000_t202" style="position:absolute;width:120pt;height:40pt">'
    "<v:textbox><w:txbxContent><w:p><w:r><w:t>In a box</w:t></w:r></w:p></w:txbxContent></v:textbox>"
    "</v:shape></w:pict></w:r>"
)


@pytest.mark.parametrize("source_format", ["docx", "odt"])
async def test_text_has_what_is_in_text_boxes(
    convert: Convert, documents: Converter, text: Converter, tmp_path: Path, source_format: str
) -> None:
    document = docx.Document()
    document.add_paragraph("Before")._p.append(parse_xml(TEXT_BOX))
    document.add_paragraph("After")
    document.save(str(tmp_path / "box.docx"))
    source = tmp_path / "box.docx"
    if source_format == "odt":
        source = await convert(source, "odt", by=documents)

    made = (await convert(source, "txt", by=text)).read_text(encoding="utf-8")

    assert made.split() == ["Before", "After", "In", "a", "box"]


@pytest.mark.corpus
@pytest.mark.parametrize("target", ["docx", "odt", "rtf", "txt"])
async def test_old_word_document_converts(
    convert: Convert, documents: Converter, text: Converter, corpus: Path, target: str
) -> None:
    made = await convert(corpus / "doc" / "poi__Bug48075.doc", target, by=text if target == "txt" else documents)

    assert made.stat().st_size > 100


async def test_document_without_text_is_an_empty_source(convert: Convert, text: Converter, tmp_path: Path) -> None:
    docx.Document().save(str(tmp_path / "blank.docx"))

    with pytest.raises(BadSource, match="no text") as error:
        await convert(tmp_path / "blank.docx", "txt", by=text)
    assert error.value.stable_code == "source_empty"


async def test_rewritten_document_has_no_macros(convert: Convert, documents: Converter, tmp_path: Path) -> None:
    kind = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    with_macros = b"application/vnd.ms-word.document.macroEnabled.main+xml"
    source = repacked(written(tmp_path), tmp_path / "macros.docx", lambda _, member: member.replace(kind, with_macros))
    with zipfile.ZipFile(source, "a") as package:
        package.writestr("word/vbaProject.bin", b"not even a real one")

    made = await convert(source, "docx", by=documents)

    with zipfile.ZipFile(made) as package:
        assert not [name for name in package.namelist() if "vba" in name.lower()]
        assert kind in package.read("[Content_Types].xml")
    assert words_in(made) == WORDS


def titles_in(path: Path) -> list[tuple[str, bool]]:
    presentation = Presentation(str(path))
    return [(slide.shapes.title.text, slide._element.get("show") == "0") for slide in presentation.slides]


@pytest.mark.parametrize("middle", ["pptx", "odp"])
async def test_rewritten_deck_keeps_every_slide(
    convert: Convert, slides: Converter, tmp_path: Path, middle: str
) -> None:
    made = await convert(deck(tmp_path / "deck.pptx", 4, hidden=(2,)), middle, by=slides)
    back = await convert(made, "pptx", by=slides)

    assert titles_in(back) == [("Slide 1", False), ("Slide 2", True), ("Slide 3", False), ("Slide 4", False)]


@pytest.mark.corpus
@pytest.mark.parametrize("target", ["pptx", "odp"])
async def test_old_powerpoint_deck_converts(convert: Convert, slides: Converter, corpus: Path, target: str) -> None:
    made = await convert(corpus / "ppt" / "poi__numbers.ppt", target, by=slides)

    with zipfile.ZipFile(made) as package:
        assert ("ppt/presentation.xml" if target == "pptx" else "content.xml") in package.namelist()


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["poi__KEY02.pptx", "poi__line-chart.pptx"])
async def test_deck_made_on_a_mac_gets_a_page_per_slide(convert: Convert, corpus: Path, name: str) -> None:
    """W11."""
    source = corpus / "pptx" / name
    with zipfile.ZipFile(source) as package:
        assert b"Macintosh" in package.read("docProps/app.xml")

    pages = page_texts(await convert(source))

    shown = [slide for slide in Presentation(str(source)).slides if slide._element.get("show") != "0"]
    assert len(pages) == len(shown)
    assert sum(map(len, pages)) > 0


@pytest.mark.parametrize("middle", ["xlsx", "ods"])
async def test_rewritten_workbook_keeps_sheets_and_formulas(
    convert: Convert, sheets: Converter, tmp_path: Path, middle: str
) -> None:
    made = await convert(book(tmp_path / "book.xlsx"), middle, by=sheets)
    back = openpyxl.load_workbook(await convert(made, "xlsx", by=sheets))

    assert back.sheetnames == ["Fruit", "Prices & more's"]
    assert [[cell.value for cell in row] for row in back["Fruit"].rows] == [
        ["apples", 3], ["pears; ripe", 4.5], ["sum", "=B1+B2"],
    ]  # fmt: skip


@pytest.mark.corpus
@pytest.mark.parametrize("target", ["xlsx", "ods", "csv"])
async def test_old_excel_workbook_converts(
    convert: Convert, sheets: Converter, table: Converter, corpus: Path, target: str
) -> None:
    source = corpus / "xls" / "poi__IndexFunctionTestCaseData.xls"

    made = await convert(source, target, by=table if target == "csv" else sheets)

    assert made.stat().st_size > 1000


async def test_csv_to_workbook_keeps_numbers_and_formula_text(
    convert: Convert, sheets: Converter, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text("köln;7\nbonn;=1+1\n", encoding="utf-8")

    book_of_it = openpyxl.load_workbook(await convert(tmp_path / "table.csv", "xlsx", by=sheets))

    first = book_of_it.worksheets[0]
    assert (first["A1"].value, first["B1"].value, first["B2"].value) == ("köln", 7, "=1+1")
    assert first["B2"].data_type == "s"


@pytest.mark.parametrize("middle", ["xlsx", "ods", "csv"])
async def test_csv_has_the_values_of_the_first_sheet(
    convert: Convert, sheets: Converter, table: Converter, tmp_path: Path, middle: str
) -> None:
    source = book(tmp_path / "book.xlsx")
    if middle != "xlsx":
        source = await convert(source, middle, by=table if middle == "csv" else sheets)

    made = rows_of(await convert(source, "csv", by=table))

    assert made == [["apples", "3"], ["pears; ripe", "4.5"], ["sum", "7.5"]]


@pytest.mark.parametrize(("name", "mark"), [("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("pipe", "|")])
async def test_chosen_separator_is_used(
    convert: Convert, table: Converter, tmp_path: Path, name: str, mark: str
) -> None:
    made = await convert(book(tmp_path / "book.xlsx"), "csv", by=table, separator=name)

    assert made.read_text().splitlines()[0] == f"apples{mark}3"
    assert rows_of(made, mark)[1] == ["pears; ripe", "4.5"]


@pytest.mark.parametrize("sheet", [2, "2", "Prices & more's"])
async def test_sheet_chosen_by_number_or_name(
    convert: Convert, table: Converter, tmp_path: Path, sheet: int | str
) -> None:
    made = await convert(book(tmp_path / "book.xlsx"), "csv", by=table, sheet=sheet)

    assert rows_of(made) == [["price", "3.00 EUR"]]


@pytest.mark.parametrize("sheet", [3, "Vegetables", "../../etc/passwd"])
async def test_unknown_sheet_lists_the_known_ones(
    convert: Convert, table: Converter, tmp_path: Path, sheet: int | str
) -> None:
    with pytest.raises(BadOptions, match='it has 2: "Fruit"'):
        await convert(book(tmp_path / "book.xlsx"), "csv", by=table, sheet=sheet)


async def test_values_in_full_precision(convert: Convert, table: Converter, tmp_path: Path) -> None:
    made = await convert(book(tmp_path / "book.xlsx"), "csv", by=table, sheet=2, as_shown=False)

    assert rows_of(made) == [["price", "3"]]


async def test_empty_sheet_is_an_empty_source(convert: Convert, table: Converter, tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "blank.xlsx")

    with pytest.raises(BadSource, match="no values"):
        await convert(tmp_path / "blank.xlsx", "csv", by=table)


async def test_damaged_source_is_corrupt(convert: Convert, documents: Converter, tmp_path: Path) -> None:
    half = letter(tmp_path / "letter.docx", 1).read_bytes()
    (tmp_path / "half.docx").write_bytes(half[: len(half) // 2])

    with pytest.raises(CorruptSource, match="Word"):
        await convert(tmp_path / "half.docx", "odt", by=documents)


# The readers of results, and the comparison with the source.


@pytest.mark.parametrize(
    ("check", "there", "made"),
    [
        (check_characters, {"characters": 1000}, {"characters": 500}),
        (check_slides, {"slides": 3}, {"slides": 2}),
        (check_sheets, {"sheets": [{"cells": 1}]}, {"sheets": []}),
        (check_sheets, {"sheets": [{"cells": 2}]}, {"sheets": [{"name": "a", "cells": 1}]}),
    ],
)
def test_missing_content_is_invalid_output(
    check: Callable[..., None], there: dict[str, object], made: dict[str, object]
) -> None:
    check(there, there)
    with pytest.raises(OutputInvalid):
        check(there, made)


@pytest.mark.parametrize("target", ["docx", "pptx", "xlsx", "odt", "odp", "ods", "rtf"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"{\\rtf1 never closed", b"words"])
def test_damaged_result_is_refused(tmp_path: Path, target: str, content: bytes) -> None:
    (tmp_path / "result").write_bytes(content)

    with pytest.raises(office_counts.Refused):
        office_counts.count({"output": str(tmp_path / "result"), "target": target})


def test_result_with_invalid_xml_is_refused(tmp_path: Path) -> None:
    half = repacked(
        letter(tmp_path / "letter.docx", 1), tmp_path / "half.docx",
        lambda name, member: member[:-9] if name == "word/document.xml" else member,
    )  # fmt: skip

    with pytest.raises(office_counts.Refused):
        office_counts.count({"output": str(half), "target": "docx"})


def test_result_with_missing_slide_is_refused(tmp_path: Path) -> None:
    source, half = deck(tmp_path / "deck.pptx", 2), tmp_path / "half.pptx"
    with zipfile.ZipFile(source) as package, zipfile.ZipFile(half, "w") as copy:
        for name in package.namelist():
            if name != "ppt/slides/slide2.xml":
                copy.writestr(name, package.read(name))

    with pytest.raises(office_counts.Refused):
        office_counts.count({"output": str(half), "target": "pptx"})


def test_counts_match_those_of_python_libraries(tmp_path: Path) -> None:
    assert office_counts.count({"output": str(deck(tmp_path / "a.pptx", 3)), "target": "pptx"}) == {
        "slides": 3, "characters": len("Slide1") * 3,
    }  # fmt: skip
    assert office_counts.count({"output": str(book(tmp_path / "a.xlsx")), "target": "xlsx"}) == {
        "sheets": [{"name": "Fruit", "cells": 6}, {"name": "Prices & more's", "cells": 2}]
    }


def test_rich_text_counts_visible_letters_only() -> None:
    steering = r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\*\generator x;}\f0 one \b two\par \u228?\'e4\{}"

    assert rich_text.characters_of(steering) == len("onetwo") + 2 + 1 + 1
