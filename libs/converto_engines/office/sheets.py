"""Workbooks to other workbooks and to plain text, and one sheet to comma-separated values, with LibreOffice."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, OutputInvalid
from converto_engines.converter import Job
from converto_engines.office.open_document import OpenDocument
from converto_engines.office.rewriting import Counts, OfficeRewriting, empty_source
from converto_engines.office.sandboxed.filters import TABLE_OPTIONS

_SOURCES = ("xlsx", "xls", "ods", "csv")
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_SHOWN_NAMES = 10
_NOTED_NAMES, _SHOWN_CHARACTERS = 4, 32  # a note has at most 300 characters


class SheetOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of workbooks."""

    numbers: Annotated[
        bool,
        Meta(
            description="CSV: write cells such as 12 and -3.50 as numbers, but 007 and whatever else would change as"
            " text; false: all as text."
        ),
    ] = True


class OfficeSheets(OfficeRewriting):
    """Converter of workbooks; see `Converter` for what its attributes mean.

    Converting to the same format is useful too: templates become workbooks, and macros are removed.
    """

    name = "office-sheets"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("xlsx", "ods")
    options: type[msgspec.Struct] = SheetOptions
    loss = 0.08
    seconds = 1.0
    losses: tuple[Loss, ...] = (
        Loss(text="macros, signatures, queries and pivot caches; some charts and formats look different"),
        Loss(text="what looks like a formula, a date or a number such as 007 stays text", sources=("csv",)),
    )
    titled_sources: tuple[str, ...] = ("csv",)


class TableOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of comma-separated values, which are always UTF-8."""

    separator: Annotated[
        Literal["comma", "semicolon", "tab", "pipe"], Meta(description="The character between two cells.")
    ] = "comma"
    sheet: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | Annotated[str, Meta(min_length=1, max_length=255)],
        Meta(description="The sheet to convert: its number, counted from 1, or its name."),
    ] = 1
    as_shown: Annotated[
        bool, Meta(description="Write numbers and dates as the sheet shows them; false: in full precision.")
    ] = True


class OfficeTable(OfficeRewriting):
    """Converter of one sheet to comma-separated values."""

    name = "office-table"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("csv",)
    options: type[msgspec.Struct] = TableOptions
    # High, so that no chain uses a plain table as a shortcut between two richer formats.
    loss = 0.6
    seconds = 0.8
    losses: tuple[Loss, ...] = (
        Loss(text="all sheets but one, formulas, formats, charts and pictures", sources=("xlsx", "xls", "ods")),
    )

    def filter_options(self, expected: Counts, job: Job) -> str:
        """Separator and sheet; raises `BadOptions` for an unknown sheet and `BadSource` for an empty one."""
        number = _number_of(job.options.sheet, _names(expected))
        if expected["sheets"][number - 1]["cells"] == 0:
            raise empty_source("values on this sheet")
        return TABLE_OPTIONS.format(
            separator=ord(_SEPARATORS[job.options.separator]),
            as_shown="true" if job.options.as_shown else "false",
            sheet=number,
        )

    async def complete(self, document: OpenDocument, result: Path, expected: Counts, job: Job) -> None:
        """Write long numbers with all their digits, and name the sheets that are left out."""
        number = _number_of(job.options.sheet, _names(expected))
        if text := _left_out(expected, number):
            job.note(text)
        await document.spell_out(result, separator=_SEPARATORS[job.options.separator], sheet=number)

    def request(self, options: TableOptions) -> dict[str, Any]:
        """Return the separator of the result."""
        return {"separator": _SEPARATORS[options.separator]}

    def compare(self, expected: Counts, found: Counts, job: Job) -> None:
        """Raise unless the result has every row of the sheet."""
        number = _number_of(job.options.sheet, _names(expected))
        rows = expected["sheets"][number - 1]["rows"]
        if found["rows"] < rows:
            raise OutputInvalid(f"The result has {found['rows']} rows instead of {rows}")


class OfficeSheetText(OfficeRewriting):
    """Converter of all sheets to plain text: a line per row, a tab between cells, each sheet under its name."""

    name = "office-sheet-text"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("txt",)
    loss = 0.6  # like that of `office-text`
    seconds = 0.9
    losses: tuple[Loss, ...] = (
        Loss(text="everything but the text of the cells: formulas, formats, charts and pictures"),
    )

    async def write(self, document: OpenDocument, result: Path, expected: Counts, job: Job) -> None:
        """Write the sheets that have any cells; raises `BadSource` when there is none."""
        del job
        filled = [number for number, sheet in enumerate(expected["sheets"], 1) if sheet["cells"]]
        if not filled:
            raise empty_source("values")
        await document.save_text(result, filled)

    def compare(self, expected: Counts, found: Counts, job: Job) -> None:
        """Raise unless there is at least one character for each cell."""
        del job
        cells = sum(sheet["cells"] for sheet in expected["sheets"])
        if found["characters"] < cells:
            raise OutputInvalid("Cells are missing from the result", detail=f"{found['characters']} of {cells}")


def _names(expected: Counts) -> list[str]:
    return [sheet["name"] for sheet in expected["sheets"]]


def _left_out(expected: Counts, number: int) -> str:
    """Return a note that names the sheets with content other than the converted one; empty when there are none."""
    sheets = expected["sheets"]
    others = [sheet["name"] for place, sheet in enumerate(sheets, 1) if place != number and sheet["cells"]]
    if not others:
        return ""
    shown = ", ".join(_quoted(name) for name in others[:_NOTED_NAMES])
    more = f" and {len(others) - _NOTED_NAMES} more" if len(others) > _NOTED_NAMES else ""
    return (
        f"Only the sheet {_quoted(sheets[number - 1]['name'])} was converted; left out: {shown}{more}."
        " The option sheet selects another"
    )


def _quoted(name: str) -> str:
    return f'"{name if len(name) <= _SHOWN_CHARACTERS else name[: _SHOWN_CHARACTERS - 1] + "…"}"'


def _number_of(sheet: int | str, names: list[str]) -> int:
    """Return the number of a sheet, from 1; a name takes precedence, so that a sheet called 2024 is found."""
    if str(sheet) in names:
        return names.index(str(sheet)) + 1
    if str(sheet).isdecimal() and 1 <= int(sheet) <= len(names):
        return int(sheet)
    known = ", ".join(f'"{name}"' for name in names[:_SHOWN_NAMES])
    raise BadOptions(f'This workbook has no sheet "{sheet}"; it has {len(names)}: {known}')
