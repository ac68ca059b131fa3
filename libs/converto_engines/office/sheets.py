"""Workbooks to other workbooks, and one of their sheets to comma-separated values, by LibreOffice."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, OutputInvalid
from converto_engines.converter import Job, NoOptions
from converto_engines.office.rewriting import OfficeRewriting, check_sheets, refuse_empty

_SOURCES = ("xlsx", "xls", "ods", "csv")
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
# Separator, quotation mark, UTF-8, first row; quote only where needed; numbers as numbers; as shown or as stored;
# values instead of formulas; nothing removed; which sheet, from 1.
_TABLE_OPTIONS = "{separator},34,76,1,,0,false,true,{as_shown},false,false,{sheet}"
_SHOWN_NAMES = 10


class OfficeSheets(OfficeRewriting):
    """Converter of workbooks; see `Converter` for what its attributes mean.

    The same format as target has its use too: templates become workbooks, and macros are left behind.
    """

    name = "office-sheets"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("xlsx", "ods")
    options: type[msgspec.Struct] = NoOptions
    loss = 0.08
    seconds = 1.0
    losses: tuple[Loss, ...] = (
        Loss(text="macros, signatures, queries and pivot caches; some charts and formats look different"),
        Loss(text="leading zeros of numbers; what looks like a formula stays text", sources=("csv",)),
    )

    def compare(self, there: dict[str, Any], made: dict[str, Any], job: Job) -> None:
        """Sheets and cells have to be there."""
        del job
        check_sheets(there, made)


class TableOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for comma-separated values, which are always written as UTF-8."""

    separator: Annotated[
        Literal["comma", "semicolon", "tab", "pipe"], Meta(description="What stands between two cells.")
    ] = "comma"
    sheet: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | Annotated[str, Meta(min_length=1, max_length=255)],
        Meta(description="Which sheet of the workbook: its number, counted from 1, or its name."),
    ] = 1
    as_shown: Annotated[
        bool, Meta(description="Write numbers and dates as the sheet shows them; false: with all their digits.")
    ] = True


class OfficeTable(OfficeRewriting):
    """Converter of one sheet to comma-separated values."""

    name = "office-table"
    sources: tuple[str, ...] = _SOURCES
    targets: tuple[str, ...] = ("csv",)
    options: type[msgspec.Struct] = TableOptions
    # High, so that no chain takes a bare table as a short cut between two formats that hold more.
    loss = 0.6
    seconds = 0.8
    losses: tuple[Loss, ...] = (
        Loss(text="all sheets but one, formulas, formats, charts and pictures", sources=("xlsx", "xls", "ods")),
        Loss(text="leading zeros of numbers; dates may be written another way", sources=("csv",)),
    )

    def filter_options(self, there: dict[str, Any], job: Job) -> str:
        """Refuse a sheet that is not there or is empty."""
        number = _number_of(job.options.sheet, [sheet["name"] for sheet in there["sheets"]])
        if there["sheets"][number - 1]["cells"] == 0:
            raise refuse_empty("values on this sheet")
        return _TABLE_OPTIONS.format(
            separator=ord(_SEPARATORS[job.options.separator]),
            as_shown="true" if job.options.as_shown else "false",
            sheet=number,
        )

    def request(self, options: TableOptions) -> dict[str, Any]:
        """How to read the result."""
        return {"separator": _SEPARATORS[options.separator]}

    def compare(self, there: dict[str, Any], made: dict[str, Any], job: Job) -> None:
        """Every row has to be there."""
        number = _number_of(job.options.sheet, [sheet["name"] for sheet in there["sheets"]])
        expected = there["sheets"][number - 1]["rows"]
        if made["rows"] < expected:
            raise OutputInvalid(f"The result has {made['rows']} rows where {expected} were expected")


def _number_of(sheet: int | str, names: list[str]) -> int:
    """The number of a sheet, from 1. A name goes before a number, so that a sheet called 2024 is found."""
    if str(sheet) in names:
        return names.index(str(sheet)) + 1
    if str(sheet).isdecimal() and 1 <= int(sheet) <= len(names):
        return int(sheet)
    known = ", ".join(f'"{name}"' for name in names[:_SHOWN_NAMES])
    raise BadOptions(f'There is no sheet "{sheet}" in this workbook; it has {len(names)}: {known}')
