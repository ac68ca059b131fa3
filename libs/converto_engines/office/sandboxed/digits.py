"""Writes numbers in a CSV file with all their digits where LibreOffice shortens them to 1.23E+19."""

import csv
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

_SHORTENED = re.compile(r"-?\d(?:\.\d+)?E[+-]\d+")
_MAX_PLAIN_CHARACTERS = 40  # beyond this, all digits with an exponent are easier to read
_STANDARD_FORMAT = 0
_FORMATS_PER_LANGUAGE = 10_000  # LibreOffice numbers the formats of each language anew; the first is the standard one


def spell_out(document: Any, path: Path, *, separator: str, sheet: int) -> None:
    """Rewrite a CSV file made from a sheet, counted from 1; cells with a format of their own stay as they are shown."""
    csv.field_size_limit(sys.maxsize)
    cells = document.Sheets.getByIndex(sheet - 1)
    with path.open(encoding="utf-8", newline="") as file:
        columns = {column for row in csv.reader(file, delimiter=separator) for column in _shortened(row)}
    if not columns:
        return
    numbers = {column: _numbers(cells, column) for column in columns}
    result = path.with_suffix(".digits")
    with path.open(encoding="utf-8", newline="") as file, result.open("w", encoding="utf-8", newline="") as copy:
        writer = csv.writer(copy, delimiter=separator, lineterminator="\n")
        for number, row in enumerate(csv.reader(file, delimiter=separator)):
            for column in _shortened(row):
                row[column] = _spelled(cells, number, column, numbers[column]) or row[column]
            writer.writerow(row)
    result.replace(path)


def _shortened(row: list[str]) -> Iterator[int]:
    return (column for column, text in enumerate(row) if "E" in text and _SHORTENED.fullmatch(text))


def _numbers(cells: Any, column: int) -> list[Any]:
    """Return the values of a whole column in one call, because each call takes as long as many cells."""
    cursor = cells.createCursor()
    cursor.gotoEndOfUsedArea(False)
    last = cursor.RangeAddress.EndRow
    return [row[0] for row in cells.getCellRangeByPosition(column, 0, column, last).getDataArray()]


def _spelled(cells: Any, row: int, column: int, numbers: list[Any]) -> str | None:
    """Return the number in plain digits; None for text and for a cell whose own format asks for the exponent."""
    value = numbers[row] if row < len(numbers) else None
    if not isinstance(value, float):
        return None
    if cells.getCellByPosition(column, row).NumberFormat % _FORMATS_PER_LANGUAGE != _STANDARD_FORMAT:
        return None
    plain = format(Decimal(repr(value)), "f")
    return plain if len(plain) <= _MAX_PLAIN_CHARACTERS else repr(value).upper()
