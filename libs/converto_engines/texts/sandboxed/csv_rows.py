"""Reads the rows of a CSV file: finds the separator, and stops at a broken line or a limit. Standard library only.

Tables for JSON and tables for LibreOffice are read by the same rules.
"""

import csv
import io
import re
from collections.abc import Iterator

from converto_engines.runtime.sandboxed.protocol import Refused

MAX_COLUMNS = 16_384  # as many as a spreadsheet has
MAX_CELLS = 50_000_000
_SEPARATORS = ",;\t|"
_SAMPLE_CHARACTERS = 64 * 1024
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_MAX_CELL_CHARACTERS = 64 * 1024**2


class BrokenTable(Refused):
    """Raised when the quotation marks of a table do not fit together; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__("corrupt", f"The table is damaged in the row that begins at line {line}: {reason}")
        self.line = line


def rows_of(text: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV file without blank lines; raises `BrokenTable` for a broken file."""
    return (row for row in all_rows(text) if row)


def all_rows(text: str, *, strict: bool = True) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, a blank line as an empty row.

    If not `strict`, text beside the quotation marks of a cell is kept, and an open one ends with the file.
    """
    named = _SEPARATOR_LINE.match(text)
    text, separator = (text[named.end() :], named.group(1)) if named else (text, _separator(text[:_SAMPLE_CHARACTERS]))
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)
    started_at, cells = 1, 0
    try:
        for row in reader:
            cells += len(row)
            if len(row) > MAX_COLUMNS or cells > MAX_CELLS:
                raise Refused("too_large", f"Line {started_at} is over the limit of {MAX_COLUMNS:,} columns")
            yield row
            started_at = reader.line_num + 1
    except csv.Error as error:
        raise BrokenTable(started_at, str(error)) from error


def _separator(sample: str) -> str:
    """Return the separator with the highest count that every one of the first lines reaches outside quotes."""
    lines = [line for line in _QUOTED.sub("", sample).splitlines()[:20] if line.strip()]
    if not lines:
        return ","
    return max(_SEPARATORS, key=lambda mark: (min(line.count(mark) for line in lines), lines[0].count(mark)))
