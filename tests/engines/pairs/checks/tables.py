"""Looks at workbooks, tables and subtitles with openpyxl, csv, json, lxml and pysubs2."""

import csv
import html
import json
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pysubs2

from tests.engines.pairs.checks.documents import TABLE, lines, open_document
from tests.engines.pairs.pair import Fault, Result, unlike
from tests.engines.pairs.sources.tables import FORMULA, HEADER, ROWS, SUM

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
Sheets = dict[str, list[list[object]]]


def workbook(result: Result) -> Iterator[str]:
    """Every sheet with its values: numbers as numbers, codes as text; sums as formulas where the source has them."""
    sheets = _SHEETS[result.pair.target](result.path)
    facts = result.pair.sample.facts
    if facts.sheets:
        yield from unlike("sheets", tuple(sheets), facts.sheets)
        yield from unlike("second sheet", list(sheets.values())[-1], [["price", 30]])
    total = FORMULA if facts.has_formula else SUM
    yield from unlike("first sheet", next(iter(sheets.values())), [*_rows(HEADER, *ROWS), ["sum", total]])


def first_sheet(result: Result) -> Iterator[str]:
    """The rows of the first sheet; any other sheets are files of their own, or told to be missing."""
    with result.paths[0].open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    yield from unlike("rows", rows, [[str(cell) for cell in row] for row in _rows(HEADER, *ROWS, ("sum", SUM, ""))])
    sheets = max(len(result.pair.sample.facts.sheets), 1)
    if len(result.paths) not in (1, sheets):
        yield f"files: {len(result.paths)} instead of one, or one a sheet"


def objects(result: Result) -> Iterator[str]:
    """A list of one object a row."""
    rows = json.loads(result.paths[0].read_text(encoding="utf-8"))
    right = [dict(zip(HEADER, map(str, row), strict=True)) for row in (*ROWS, ("sum", SUM, ""))]
    yield from unlike("rows", rows, right)


def subtitles(result: Result) -> Iterator[str]:
    """Every cue with its times (ms) and its words."""
    target = result.pair.target
    head = result.path.read_text(encoding="utf-8")[:10]
    if head.startswith("WEBVTT") != (target == "vtt"):
        raise Fault(f"the file begins with {head!r}")
    yield from unlike("cues", _cues(result.path), _cues(result.source))


def _rows(*rows: tuple[object, ...]) -> list[list[object]]:
    return [list(row) for row in rows]


def _trimmed(row: list[object]) -> list[object]:
    while row and row[-1] in (None, ""):
        row.pop()
    return row


def _excel(path: Path) -> Sheets:
    book = openpyxl.load_workbook(path)
    return {
        sheet.title: [row for cells in sheet.iter_rows(values_only=True) if (row := _trimmed(list(cells)))]
        for sheet in book.worksheets
    }


def _open_sheets(path: Path) -> Sheets:
    tables = open_document(path, "spreadsheet").iter(f"{TABLE}table")
    return {
        str(table.get(f"{TABLE}name")): [
            row
            for cells in table.iter(f"{TABLE}table-row")
            if (row := _trimmed([_value(cell) for cell in cells.iter(f"{TABLE}table-cell")]))
        ]
        for table in tables
    }


def _value(cell: object) -> object:
    get = cell.get  # type: ignore[attr-defined]
    if formula := get(f"{TABLE}formula"):
        return "=" + str(formula).removeprefix("of:=").replace("[.", "").replace("]", "").replace(":.", ":")
    if get(f"{_OFFICE}value-type") == "float":
        return float(get(f"{_OFFICE}value"))
    return "\n".join(lines(cell))  # type: ignore[arg-type]


def _cues(path: Path) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds, and the words; WebVTT writes & and < as in HTML."""
    kind = path.suffix[1:]
    plain = html.unescape if kind == "vtt" else str
    return [(cue.start, cue.end, plain(cue.plaintext)) for cue in pysubs2.load(str(path), format_=kind)]


_SHEETS = {"xlsx": _excel, "ods": _open_sheets}
