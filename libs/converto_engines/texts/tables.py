"""CSV to JSON and back; one converter per direction, so that no plan converts a format to itself."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_engines.converter import Job
from converto_engines.texts.text_converter import TextConverter

_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}


class JsonOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of JSON made from a table."""

    header: Annotated[
        bool, Meta(description="The first row holds the column names; if false, each row becomes a list")
    ] = True
    numbers: Annotated[
        bool,
        Meta(description="Write cells such as 12 and -3.50 as numbers, but 007 as text; default: all as text"),
    ] = False
    layout: Annotated[
        Literal["array", "lines"],
        Meta(description="array: one JSON array; lines: JSON Lines, a value of its own on each line"),
    ] = "array"


class CsvOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of a table made from JSON."""

    separator: Annotated[Literal["comma", "semicolon", "tab"], Meta(description="Separator between cells")] = "comma"


class _Tables(TextConverter):
    engine = "Python"
    program = "tables"
    content = "table"
    max_source_bytes = 100 * 1024**2  # the program needs ten times as much memory


class CsvToJson(_Tables):
    """Converter of CSV to UTF-8 JSON: one object or list per row."""

    name = "csv-json"
    sources: tuple[str, ...] = ("csv",)
    targets: tuple[str, ...] = ("json",)
    options: type[msgspec.Struct] = JsonOptions
    loss = 0.05

    def request_options(self, job: Job) -> dict[str, Any]:
        """Return the target and the options."""
        chosen: JsonOptions = job.options
        return {"to": "json", "header": chosen.header, "numbers": chosen.numbers, "layout": chosen.layout}


class JsonToCsv(_Tables):
    """Converter of lists in JSON, or of JSON Lines, to CSV: one row per entry, and a header row for objects."""

    name = "json-csv"
    sources: tuple[str, ...] = ("json",)
    targets: tuple[str, ...] = ("csv",)
    options: type[msgspec.Struct] = CsvOptions
    loss = 0.2
    losses: tuple[Loss, ...] = (
        Loss(text="the difference between text, numbers, true and false, and null; lists in cells become text"),
    )

    def request_options(self, job: Job) -> dict[str, Any]:
        """Return the target and the separator character."""
        return {"to": "csv", "separator": _SEPARATORS[job.options.separator]}
