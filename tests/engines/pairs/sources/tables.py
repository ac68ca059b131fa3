"""Workbooks of two sheets, tables of one, and subtitles. `pages` are the words of each sheet."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import openpyxl

from tests.assets.captions import captions
from tests.engines.pairs.pair import Sample
from tests.engines.pairs.sources.old_office import saved_as
from tests.engines.pairs.sources.open_document import package

HEADER = ("name", "amount", "code")
ROWS = (("Äpfel", 3, "007"), ("pears; ripe", 4.5, "012"))
SUM, FORMULA = 7.5, "=SUM(B2:B3)"


class Facts(NamedTuple):
    """The names of the sheets (none of a plain table) and whether the sum is a formula."""

    sheets: tuple[str, ...] = ()
    has_formula: bool = False


BOOK = Facts(("Fruit", "Prices"), has_formula=True)
FIRST_PAGE = (*HEADER, "Äpfel", "007", "pears; ripe", "4.5", "012", "sum", "7.5")
TWO_PAGES = (FIRST_PAGE, ("price", "30"))


def excel(path: Path) -> None:
    """Write an .xlsx."""
    workbook = openpyxl.Workbook()
    first = workbook.active
    assert first is not None
    first.title = BOOK.sheets[0]
    for row in (HEADER, *ROWS, ("sum", FORMULA)):
        first.append(row)
    workbook.create_sheet(BOOK.sheets[1]).append(["price", 30])
    workbook.save(path)


def excel_97(path: Path) -> None:
    """Write an .xls."""
    saved_as(path, excel, "xlsx")


def open_sheets(path: Path) -> None:
    """Write an .ods."""
    total = f'<table:table-cell table:formula="of:=SUM([.B2:.B3])" office:value-type="float" office:value="{SUM}"/>'
    rows = [*map(_row, (HEADER, *ROWS)), f"<table:table-row>{_cell('sum')}{total}</table:table-row>"]
    fruit = f'<table:table table:name="Fruit">{"".join(rows)}</table:table>'
    prices = f'<table:table table:name="Prices">{_row(("price", 30))}</table:table>'
    path.write_bytes(package("spreadsheet", fruit + prices))


def _row(values: tuple[object, ...]) -> str:
    return f"<table:table-row>{''.join(map(_cell, values))}</table:table-row>"


def _cell(value: object) -> str:
    if isinstance(value, str):
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'
    return f'<table:table-cell office:value-type="float" office:value="{value}"/>'


def comma_separated(path: Path) -> None:
    """Write a .csv."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *ROWS, ("sum", SUM, "")])


def objects(path: Path) -> None:
    """Write a .json."""
    rows = [dict(zip(HEADER, row, strict=True)) for row in (*ROWS, ("sum", SUM, ""))]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def subrip(path: Path) -> None:
    """Write an .srt."""
    path.write_bytes(captions())


def web_subtitles(path: Path) -> None:
    """Write a .vtt of the same cues."""
    text = captions().decode().replace("\r\n", "\n")
    lines = [line.replace(",", ".") if "-->" in line else line for line in text.split("\n")]
    escaped = "\n".join(lines).replace("Tom & Søren < the", "Tom &amp; Søren &lt; the")
    path.write_text(f"WEBVTT\n\n{escaped}", encoding="utf-8")


TABLES = (
    Sample("xlsx", "xlsx", "workbook", excel, TWO_PAGES, BOOK),
    Sample("xls", "xls", "workbook", excel_97, TWO_PAGES, BOOK),
    Sample("ods", "ods", "workbook", open_sheets, TWO_PAGES, BOOK),
    Sample("csv", "csv", "table", comma_separated, (FIRST_PAGE,), Facts()),
    Sample("json", "json", "table", objects, (FIRST_PAGE,), Facts()),
    Sample("srt", "srt", "subtitles", subrip),
    Sample("vtt", "vtt", "subtitles", web_subtitles),
)
