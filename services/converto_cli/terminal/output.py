"""What the user sees: results on stdout, talk on stderr, one JSON document instead of results when asked for.

Names that came from a server or a file are never trusted on a terminal: control characters do not get through.
"""

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import msgspec

from converto_cli.context import Context

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Screen:
    """The two streams of one run."""

    def __init__(self, context: Context, *, out: TextIO | None = None, talk: TextIO | None = None) -> None:
        """`out` and `talk` are the process's own streams unless given."""
        self._context = context
        self._out = out or sys.stdout
        self._talk = talk or sys.stderr

    @property
    def is_json(self) -> bool:
        """True when stdout is to be one JSON document."""
        return self._context.is_json

    @property
    def is_live(self) -> bool:
        """True when somebody watches stderr on a terminal, so that bars make sense."""
        return self._talk.isatty() and not self._context.is_quiet

    def result(self, line: str) -> None:
        """One line of results; nothing in JSON mode, where `document` tells all."""
        if not self.is_json:
            print(plain(line), file=self._out, flush=True)

    def row(self, cells: Sequence[str]) -> None:
        """One row of results as it comes, tab-separated."""
        if not self.is_json:
            self._print_lines(["\t".join(map(plain, cells))])

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows of results: aligned under heads on a terminal, tab-separated without heads in a pipe."""
        if self.is_json:
            return
        cells = [[plain(cell) for cell in row] for row in rows]
        if not self._out.isatty():
            self._print_lines("\t".join(row) for row in cells)
            return
        widths = [max(map(cell_width, column)) for column in zip(heads, *cells, strict=True)]
        self._print_lines(_aligned(row, widths) for row in [list(heads), *cells])

    def document(self, content: Any) -> None:
        """The result as one JSON document; nothing unless JSON was asked for."""
        if self.is_json:
            print(msgspec.json.format(msgspec.json.encode(content)).decode(), file=self._out, flush=True)

    def line(self, content: Any) -> None:
        """One event as one line of JSON; nothing unless JSON was asked for."""
        if self.is_json:
            print(msgspec.json.encode(content).decode(), file=self._out, flush=True)

    def say(self, text: str) -> None:
        """Talk; nothing with --quiet."""
        if not self._context.is_quiet:
            print(plain(text), file=self._talk, flush=True)

    def complain(self, text: str) -> None:
        """Say what went wrong, always."""
        print(plain(text), file=self._talk, flush=True)

    def _print_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            print(line, file=self._out)
        self._out.flush()


def plain(untrusted_text: str) -> str:
    """Text without control characters, so that no name can move the cursor or colour the screen."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character
        for character in untrusted_text
    )


def cell_width(text: str) -> int:
    """Columns a text takes on a terminal; wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def size_text(size_bytes: int) -> str:
    """`1.2 MB`, in powers of ten."""
    size, unit = float(size_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (width - cell_width(cell)) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(padded).rstrip()
