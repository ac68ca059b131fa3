"""Plain text: prepares it for LibreOffice, and makes it of sheets. Standard library only."""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from converto_engines.runtime.sandboxed.protocol import Refused
from converto_engines.texts.sandboxed.decoding import decoded


def to_utf8(path: Path) -> None:
    """Rewrite a text file as UTF-8; what is neither UTF-8 nor UTF-16 is Windows-1252."""
    text = decoded(path.read_bytes())
    if "\0" in text:
        raise Refused("unreadable")
    path.unlink()  # a hard link to the worker's copy of the source, which must not change
    path.write_text(text, encoding="utf-8", newline="")


def append_texts(path: Path, texts: Iterable[str]) -> None:
    """Add texts to a file in UTF-8, each after an empty line."""
    with path.open("a", encoding="utf-8", newline="") as file:
        file.writelines(f"\n{text}\n".replace("\r\n", "\n").replace("\r", "\n") for text in texts)


def write_rows(path: Path, tables: Iterable[tuple[str, Path]]) -> None:
    """Write the rows of CSV files as lines with a tab between two cells, each table under its name if it has one.

    An empty line separates two tables. Line ends and tabs inside a cell become spaces.
    """
    csv.field_size_limit(sys.maxsize)
    with path.open("w", encoding="utf-8", newline="") as text:
        for number, (name, table) in enumerate(tables):
            text.write("\n" * (number > 0) + f"{name}\n" * bool(name))
            with table.open(encoding="utf-8", newline="") as rows:
                text.writelines(_lines(csv.reader(rows)))


def _lines(rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield the rows, without the empty ones at the end."""
    empty = 0
    for row in rows:
        line = "\t".join(" ".join(cell.split()) for cell in row).rstrip("\t")
        if line:
            yield "\n" * empty + line + "\n"
        empty = 0 if line else empty + 1
