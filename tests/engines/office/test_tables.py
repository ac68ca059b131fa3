"""CSV files to workbooks and PDF, and workbooks to CSV: no value changes and nothing is left out in silence."""

import csv
from collections.abc import Awaitable, Callable
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converto_core.errors import BadSource, SourceTooLarge
from converto_engines.converter import Converter
from converto_engines.office.sandboxed import table_package
from tests.engines.office.samples import book, page_texts, rows_of

Convert = Callable[..., Awaitable[Path]]
ROWS = [
    ["code", "phone", "price", "id", "odd"],
    ["01234", "+49 30 123", "3.50", "12345678901234567890", "1e5"],
    ["50667", "0049", "1.5", "123456789012345", "-0"],
    ["-7", "03/04/2024", "0.00001", "1234567890123456", "1,500"],
    ["0", "2024-01-02", "-12.000", "1.1234567890123", "=1+1"],
    ["TRUE", "12:30", "5%", ".5", "'x"],
    ["  two  spaces ", "a\nb", "tab here", 'say "hi"', "<&>"],
]
NUMBERS = {
    "3.50": 3.5, "123456789012345": 123456789012345, "50667": 50667, "1.5": 1.5, "-7": -7, "0.00001": 0.00001,
    "0": 0, "-12.000": -12, "1.1234567890123": 1.1234567890123,
}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A table of values that spreadsheet programs like to change."""
    with (tmp_path / "values.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(ROWS)
    return tmp_path / "values.csv"


def values_of(path: Path) -> list[list[object]]:
    return [[cell.value for cell in row] for row in openpyxl.load_workbook(path).worksheets[0].rows]


async def test_only_cells_that_survive_the_way_back_become_numbers(
    convert: Convert, sheets: Converter, source: Path
) -> None:
    made = await convert(source, "xlsx", by=sheets)

    assert values_of(made) == [[NUMBERS.get(text, text) for text in row] for row in ROWS]


@pytest.mark.parametrize("middle", ["xlsx", "ods", "csv"])
async def test_table_comes_back_as_it_was(
    convert: Convert, sheets: Converter, table: Converter, source: Path, middle: str
) -> None:
    made = await convert(source, middle, by=table if middle == "csv" else sheets)

    assert rows_of(await convert(made, "csv", by=table)) == ROWS


@pytest.mark.parametrize("middle", ["xlsx", "csv"])
async def test_tabs_inside_cells_are_kept(
    convert: Convert, sheets: Converter, table: Converter, tmp_path: Path, middle: str
) -> None:
    """Not for ODS: LibreOffice writes tabs there, but skips them when it reads."""
    (tmp_path / "tabs.csv").write_text('a,"b\tc\t"\n"\td\ne",f\n')

    made = await convert(tmp_path / "tabs.csv", middle, by=table if middle == "csv" else sheets)

    assert rows_of(await convert(made, "csv", by=table)) == [["a", "b\tc\t"], ["\td\ne", "f"]]


async def test_printed_table_shows_the_values_as_written(convert: Convert, source: Path) -> None:
    printed = "".join("".join(page_texts(await convert(source, "pdf"))).split())

    missing = [text for row in ROWS for text in row if "".join(text.split()) not in printed]
    assert missing == [], printed


async def test_numbers_of_a_column_can_be_summed(convert: Convert, sheets: Converter, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("price\n3.50\n12\n0.05\n")

    values = values_of(await convert(tmp_path / "prices.csv", "xlsx", by=sheets))

    assert values == [["price"], [3.5], [12], [0.05]]


async def test_all_cells_stay_text_on_request(convert: Convert, sheets: Converter, source: Path) -> None:
    assert values_of(await convert(source, "xlsx", by=sheets, numbers=False)) == ROWS


@pytest.mark.parametrize("target", ["xlsx", "ods"])
async def test_sheet_is_named_after_the_users_file(
    convert: Convert, sheets: Converter, source: Path, target: str
) -> None:
    made = await convert(source, target, by=sheets, title="Plan [B]: 1/2 of a name longer than allowed")

    back = made if target == "xlsx" else await convert(made, "xlsx", by=sheets)
    assert openpyxl.load_workbook(back).sheetnames == ["Plan B 1 2 of a name longer tha"]


async def test_page_header_is_the_users_file_name(convert: Convert, source: Path) -> None:
    (first, *_) = page_texts(await convert(source, "pdf", title="Preisliste Köln"))

    assert "Preisliste Köln" in first
    assert "source" not in first


async def test_sheet_of_a_file_without_name_has_a_usual_one(convert: Convert, sheets: Converter, source: Path) -> None:
    assert openpyxl.load_workbook(await convert(source, "xlsx", by=sheets)).sheetnames == ["Sheet1"]


@pytest.mark.parametrize(
    ("title", "name"),
    [("", "Sheet1"), ("'quoted'", "quoted"), ("a/b\\c?*[d]:e", "a b c d e"), ("\x07", "Sheet1"), ("x" * 40, "x" * 31)],
)
def test_sheet_name_suits_every_spreadsheet_program(title: str, name: str) -> None:
    assert table_package.sheet_name(title) == name


async def test_table_with_broken_quotes_is_told(convert: Convert, sheets: Converter, tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text('a,b\n"x"y,01\n"never closed,3\n')
    notes: list[str] = []

    made = await convert(tmp_path / "broken.csv", "xlsx", by=sheets, note=notes.append)

    assert values_of(made)[:2] == [["a", "b"], ["xy", "01"]]
    assert notes == ["The quotation marks in the row that begins at line 2 do not match: check its cells"]


async def test_control_characters_and_encoding_are_told(convert: Convert, sheets: Converter, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_bytes("Köln,a\x0bb\n".encode("windows-1252"))
    notes: list[str] = []

    made = await convert(tmp_path / "old.csv", "xlsx", by=sheets, note=notes.append)

    assert values_of(made) == [["Köln", "a\ufffdb"]]
    assert ["Windows-1252" in text for text in notes] == [True, False]


async def test_more_rows_than_a_sheet_holds_are_refused(convert: Convert, sheets: Converter, tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text("1\n" * 1_048_577)

    with pytest.raises(SourceTooLarge, match="1,048,577 rows"):
        await convert(tmp_path / "long.csv", "xlsx", by=sheets)


async def test_csv_of_a_workbook_names_the_sheets_left_out(convert: Convert, table: Converter, tmp_path: Path) -> None:
    notes: list[str] = []

    await convert(book(tmp_path / "book.xlsx"), "csv", by=table, note=notes.append)
    await convert(tmp_path / "book.xlsx", "csv", by=table, sheet=2, note=notes.append)

    assert notes == [
        'Only the sheet "Fruit" was converted; left out: "Prices & more\'s". The option sheet selects another',
        'Only the sheet "Prices & more\'s" was converted; left out: "Fruit". The option sheet selects another',
    ]


async def test_many_sheets_left_out_make_a_short_note(convert: Convert, table: Converter, tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for number in range(40):
        workbook.create_sheet(f"A sheet with a long name no. {number:02}")["A1"] = 1
    workbook["Sheet"]["A1"] = 1
    workbook.create_sheet("empty")
    workbook.save(tmp_path / "many.xlsx")
    notes: list[str] = []

    await convert(tmp_path / "many.xlsx", "csv", by=table, note=notes.append)

    assert "and 36 more. The option sheet" in notes[0]
    assert len(notes[0]) <= 300


async def test_workbook_of_one_sheet_has_no_note(convert: Convert, table: Converter, tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook["Sheet"]["A1"] = 1
    workbook.create_sheet("empty")
    workbook.save(tmp_path / "one.xlsx")
    notes: list[str] = []

    await convert(tmp_path / "one.xlsx", "csv", by=table, note=notes.append)

    assert notes == []


@pytest.mark.parametrize("as_shown", [True, False])
async def test_long_numbers_of_a_workbook_keep_their_digits(
    convert: Convert, table: Converter, tmp_path: Path, as_shown: bool
) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook["Sheet"]
    for row in ([12345678901234567890, 0.00001234567, "1.23E+19"], ["=A1+1", 0.1, "a,b"], [2e300, 1 / 3, 123456789012]):
        sheet.append(row)
    workbook.save(tmp_path / "long.xlsx")

    made = rows_of(await convert(tmp_path / "long.xlsx", "csv", by=table, as_shown=as_shown))

    assert made == [
        ["12345678901234570000", "0.00001234567", "1.23E+19"],
        ["12345678901234570000", "0.1", "a,b"],
        ["2E+300", "0.333333333333333", "123456789012"],
    ]


async def test_exponent_that_a_workbook_asks_for_stays(convert: Convert, table: Converter, tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    cell = workbook["Sheet"]["A1"]
    cell.value, cell.number_format = 12345678901234567890, "0.00E+00"
    workbook.save(tmp_path / "shown.xlsx")

    assert rows_of(await convert(tmp_path / "shown.xlsx", "csv", by=table)) == [["1.23E+19"]]


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
async def test_text_of_a_workbook_has_every_sheet(
    convert: Convert, sheets: Converter, sheet_text: Converter, tmp_path: Path, kind: str
) -> None:
    source = book(tmp_path / "book.xlsx")
    if kind == "ods":
        source = await convert(source, kind, by=sheets)

    made = await convert(source, "txt", by=sheet_text)

    lines = ["Fruit", "apples\t3", "pears; ripe\t4.5", "sum\t7.5", "", "Prices & more's", "price\t3.00 EUR", ""]
    assert made.read_text(encoding="utf-8").split("\n") == lines


async def test_text_of_a_table_is_its_cells(convert: Convert, sheet_text: Converter, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text('a,"b\tc",\n,,\n,"two\nlines",007\n,,\n', encoding="utf-8")

    made = await convert(tmp_path / "odd.csv", "txt", by=sheet_text)

    assert made.read_text(encoding="utf-8") == "a\tb c\n\n\ttwo lines\t007\n"


async def test_workbook_without_values_has_no_text(convert: Convert, sheet_text: Converter, tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "empty.xlsx")

    with pytest.raises(BadSource, match="no values"):
        await convert(tmp_path / "empty.xlsx", "txt", by=sheet_text)


@given(st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", fullmatch=True))
def test_number_cells_are_written_exactly_as_in_the_file(text: str) -> None:
    cell = table_package._cell(text)
    if 'value-type="float"' not in cell:
        return

    decimals = len(text.partition(".")[2])
    assert f"{float(text):.{decimals}f}" == text
    if "style-name" not in cell:
        assert f"{float(text):.10g}" == text
