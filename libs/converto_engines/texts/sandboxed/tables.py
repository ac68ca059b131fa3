"""Converts CSV to JSON and lists in JSON to CSV, and verifies the number of rows.

Request: `source`, `output`, `to`, `packages`; to JSON also `header`, `numbers` and `layout`, to CSV `separator`.
Answer: `rows`, `notes`.
"""

import csv
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument
from converto_engines.texts.sandboxed.csv_rows import MAX_CELLS, MAX_COLUMNS, rows_of
from converto_engines.texts.sandboxed.decoding import read_text

_NEEDS_QUOTES = re.compile(r'[,;\t|"\r\n]|^\s|\s$')
_BLANKS = re.compile(r"[ \t\r\n]*")
_LAYOUTS = {"array": ("[\n", ",\n", "\n]\n"), "lines": ("", "\n", "\n")}
"""What stands before the first row, between two rows and after the last one."""
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")


class Number(str):
    """A number as written in the JSON file, so that 1.10 stays 1.10 and long numbers keep all digits."""

    __slots__ = ()


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the file the request names and return its number of rows."""
    try:
        return _converted(request)
    except RecursionError as error:
        raise Refused("corrupt", "The JSON is nested too deeply") from error


def _converted(request: dict[str, Any]) -> dict[str, Any]:
    notes: list[str] = []
    text = read_text(request["source"], notes)
    path = Path(request["output"])
    with path.open("w", encoding="utf-8", errors="replace", newline="") as output:
        if request["to"] == "json":
            options = {name: request[name] for name in ("header", "numbers", "layout")}
            rows = write_json(rows_of(text), output, **options)
        else:
            rows = write_csv(records_of(text), output, request["separator"])
    written = _count_json(path) if request["to"] == "json" else _count_csv(path, request["separator"])
    if written != rows:
        raise Refused("output", f"The result has {written:,} rows instead of {rows:,}")
    return {"rows": rows, "notes": notes}


def write_json(rows: Iterator[list[str]], output: Any, *, header: bool, numbers: bool, layout: str = "array") -> int:
    """Write one row per line, as objects with a header and as lists without; return the number of rows.

    The layout `array` makes one JSON array, `lines` makes JSON Lines.
    """
    opening, between, end = _LAYOUTS[layout]
    names = _column_names(next(rows, [])) if header else None
    count = 0
    for row in rows:
        cells = [_cell(text, numbers=numbers) for text in row]
        if names is None:
            line = f"[{', '.join(cells)}]"
        else:
            names = _extended(names, len(cells))
            pairs = itertools.zip_longest(names, cells, fillvalue="null")
            line = f"{{{', '.join(f'{json.dumps(name, ensure_ascii=False)}: {cell}' for name, cell in pairs)}}}"
        output.write(f"{between if count else opening}{line}")
        count += 1
    if not count:
        raise Refused("corrupt", "The table has no rows" + (" below its header" if header else ""))
    output.write(end)
    return count


def records_of(text: str) -> list[Any]:
    """Return the list in a JSON file, or the values of JSON Lines.

    Refuses broken JSON with line and column, and JSON that is no table.
    """
    try:
        values = _values_in(text)
    except json.JSONDecodeError as error:
        raise Refused(
            "corrupt", f"The file is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    records = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    kinds = {dict if isinstance(record, dict) else list if isinstance(record, list) else None for record in records}
    if not records or None in kinds or len(kinds) > 1:
        raise Refused("corrupt", "A table needs a list of objects or a list of lists; this JSON is neither")
    return records


def _values_in(text: str) -> list[Any]:
    """Return all values of a text, of which plain JSON has one and JSON Lines one per line."""
    decoder = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
    values, position = list[Any](), _behind_blanks(text, 0)
    while position < len(text) or not values:
        value, position = decoder.raw_decode(text, position)
        values.append(value)
        position = _behind_blanks(text, position)
    return values


def _behind_blanks(text: str, position: int) -> int:
    found = _BLANKS.match(text, position)
    return found.end() if found else position


def write_csv(records: Sequence[Any], output: Any, separator: str) -> int:
    """Write rows as in RFC 4180, after a header for objects; return the number of rows with the header."""
    if isinstance(records[0], dict):
        names = list(dict.fromkeys(name for record in records for name in record))
        rows: Iterator[list[Any]] = itertools.chain(
            [names], ([record.get(name) for name in names] for record in records)
        )
    else:
        names = max(records, key=len)
        rows = iter(records)
    if not names:
        raise Refused("corrupt", "The table has no columns")
    if len(names) > MAX_COLUMNS or len(names) * len(records) > MAX_CELLS:
        raise Refused("too_large", f"The table would have {len(names):,} columns and {len(records):,} rows")
    count = 0
    for row in rows:
        # A row of one empty cell must not look like a blank line.
        output.write((separator.join(_quoted(_plain(value)) for value in row) or '""') + "\r\n")
        count += 1
    return count


def _column_names(header: list[str]) -> list[str]:
    """Return a unique, non-empty name for each column."""
    names: dict[str, None] = {}
    for number, written in enumerate(header, 1):
        name = base = written.strip() or f"column_{number}"
        copies = itertools.count(2)
        while name in names:
            name = f"{base}_{next(copies)}"
        names[name] = None
    return list(names)


def _extended(names: list[str], width: int) -> list[str]:
    """Name the further columns of a row that is longer than the header."""
    return names if width <= len(names) else _column_names([*names, *[""] * (width - len(names))])


def _cell(text: str, *, numbers: bool) -> str:
    is_number = numbers and _PLAIN_NUMBER.fullmatch(text)
    return text if is_number else json.dumps(text, ensure_ascii=False)


def _refuse_constant(word: str) -> Any:
    raise Refused("corrupt", f"The file is not valid JSON: {word} is not allowed")


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else _json_text(value)


def _json_text(value: Any) -> str:
    """Return a nested value as JSON for one cell, with numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name, ensure_ascii=False)}: {_json_text(inner)}" for name, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_json_text, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    """Quote cells with any common separator, not only the one in use, so that readers guess right."""
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _count_json(path: Path) -> int:
    """Count the rows of the result; each is on its own line."""
    with path.open(encoding="utf-8") as lines:
        bare = (line.rstrip().rstrip(",") for line in lines)
        return sum(isinstance(json.loads(line), (dict, list)) for line in bare if line not in {"[", "]"})


def _count_csv(path: Path, separator: str) -> int:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8", newline="") as lines:
        return sum(1 for row in csv.reader(lines, delimiter=separator, strict=True) if row)


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(convert)
