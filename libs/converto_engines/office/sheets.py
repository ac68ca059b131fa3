"""Workbooks to other workbooks, and one sheet of a workbook to comma-separated values, with LibreOffice."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, OutputInvalid
from converto_engines.converter import Job
from converto_engines.office.rewriting import Counts, OfficeRewriting, empty_source

_SOURCES = ("xlsx", "xls", "ods", "csv")
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
# Separator, quotation mark, UTF-8, first row; quote only where needed; numbers as numbers; as shown or as stored;
# values instead of formulas; nothing removed; which sheet, from 1.
_TABLE_OPTIONS = "{separator},34,76,1,,0,false,true,{as_shown},false,false,{sheet}"
_SHOWN_NAMES = 10


class OfficeSheets(OfficeRewriting):
    """Converter of workbooks; see `Converter` for what its attributes mean.

    Converting to the same format is useful too: templates become workbooks, and macros are removed.
    """

    name = "office-sheets"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("xlsx", "ods")
    loss = 0.08
    seconds = 1.0
    losses: tuple[Loss, ...] = (
        Loss(text="macros, signatures, queries and pivot caches; some charts and formats look different"),
        Loss(text="leading zeros of numbers; what looks like a formula stays text", sources=("csv",)),
    )


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
        Loss(text="leading zeros of numbers; dates may be written another way", sources=("csv",)),
    )

    def filter_options(self, expected: Counts, job: Job) -> str:
        """Separator and sheet; raises `BadOptions` for an unknown sheet and `BadSource` for an empty one."""
        number = _number_of(job.options.sheet, [sheet["name"] for sheet in expected["sheets"]])
        if expected["sheets"][number - 1]["cells"] == 0:
            raise empty_source("values on this sheet")
        return _TABLE_OPTIONS.format(
            separator=ord(_SEPARATORS[job.options.separator]),
            as_shown="true" if job.options.as_shown else "false",
            sheet=number,
        )

    def request(self, options: TableOptions) -> dict[str, Any]:
        """Return the separator of the result."""
        return {"separator": _SEPARATORS[options.separator]}

    def compare(self, expected: Counts, found: Counts, job: Job) -> None:
        """Raise unless the result has every row of the sheet."""
        number = _number_of(job.options.sheet, [sheet["name"] for sheet in expected["sheets"]])
        rows = expected["sheets"][number - 1]["rows"]
        if found["rows"] < rows:
            raise OutputInvalid(f"The result has {found['rows']} rows instead of {rows}")


def _number_of(sheet: int | str, names: list[str]) -> int:
    """Return the number of a sheet, from 1; a name takes precedence, so that a sheet called 2024 is found."""
    if str(sheet) in names:
        return names.index(str(sheet)) + 1
    if str(sheet).isdecimal() and 1 <= int(sheet) <= len(names):
        return int(sheet)
    known = ", ".join(f'"{name}"' for name in names[:_SHOWN_NAMES])
    raise BadOptions(f'This workbook has no sheet "{sheet}"; it has {len(names)}: {known}')
