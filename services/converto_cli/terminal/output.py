"""Prints results to stdout and messages to stderr; with --json, one JSON document instead of results.

Names from a server or a file are untrusted: control characters are replaced before they reach a terminal.
"""

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import msgspec

from converto_cli.context import Context

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Console:
    """The two output streams of one command."""

    def __init__(self, context: Context, *, out: TextIO | None = None, messages: TextIO | None = None) -> None:
        """`out` and `messages` default to stdout and stderr."""
        self._context = context
        self._out = out or sys.stdout
        self._messages = messages or sys.stderr

    @property
    def is_json(self) -> bool:
        """Whether stdout is one JSON document."""
        return self._context.is_json

    @property
    def is_live(self) -> bool:
        """Whether stderr is a terminal and progress bars are wanted."""
        return self._messages.isatty() and not self._context.is_quiet

    def result(self, line: str) -> None:
        """Print one line of results; nothing with --json, where `document` prints everything."""
        if not self.is_json:
            print(plain(line), file=self._out, flush=True)

    def row(self, cells: Sequence[str]) -> None:
        """Print one row of results at once, tab-separated."""
        if not self.is_json:
            self._print_lines(["\t".join(map(plain, cells))])

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows of results: aligned with heads on a terminal, tab-separated without heads in a pipe."""
        if self.is_json:
            return
        cells = [[plain(cell) for cell in row] for row in rows]
        if not self._out.isatty():
            self._print_lines("\t".join(row) for row in cells)
            return
        widths = [max(map(cell_width, column)) for column in zip(heads, *cells, strict=True)]
        self._print_lines(_aligned(row, widths) for row in [list(heads), *cells])

    def document(self, content: Any) -> None:
        """Print the result as one JSON document; only with --json."""
        if self.is_json:
            print(msgspec.json.format(msgspec.json.encode(content)).decode(), file=self._out, flush=True)

    def line(self, content: Any) -> None:
        """Print one event as one line of JSON; only with --json."""
        if self.is_json:
            print(msgspec.json.encode(content).decode(), file=self._out, flush=True)

    def info(self, text: str) -> None:
        """Print a message to stderr; nothing with --quiet."""
        if not self._context.is_quiet:
            print(plain(text), file=self._messages, flush=True)

    def error(self, text: str) -> None:
        """Print an error to stderr, also with --quiet."""
        print(plain(text), file=self._messages, flush=True)

    def _print_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            print(line, file=self._out)
        self._out.flush()


def plain(untrusted_text: str) -> str:
    """Replace control characters, so that no name can move the cursor or change colours."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character
        for character in untrusted_text
    )


def cell_width(text: str) -> int:
    """Width of a text in terminal columns; wide characters take two."""
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
