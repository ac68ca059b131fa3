"""CSV to JSON and back, by inside/tables.py: two converters, so that no file is converted to what it already is."""

import platform
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import SourceTooLarge
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_LARGEST_BYTES = 100 * 1024**2  # ten times as much in memory
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}


class JsonOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for JSON made of a table."""

    header: Annotated[bool, Meta(description="The first row names the columns; without it each row becomes a list")] = (
        True
    )
    numbers: Annotated[
        bool, Meta(description="Cells such as 12 and -3.50 become numbers; 007 stays text, as all cells do by default")
    ] = False


class CsvOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for a table made of JSON."""

    separator: Annotated[
        Literal["comma", "semicolon", "tab"], Meta(description="What stands between the cells of a row")
    ] = "comma"


class _Tables:
    """What both directions share."""

    engine = "Python"
    family = Family.OFFICE
    seconds = 0.5
    is_paged = False

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that each table's process runs in."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "texts.sandboxed.tables")

    async def version(self) -> str | None:
        """Version of Python, whose own library reads and writes both."""
        return platform.python_version()

    async def aclose(self) -> None:
        """Nothing is kept warm."""

    async def _made(self, job: Job, chosen: dict[str, Any]) -> list[Product]:
        if job.source.stat().st_size > _LARGEST_BYTES:
            raise SourceTooLarge(f"The table is larger than {_LARGEST_BYTES // 1024**2} MB. Please split it")
        job.report(0, "reading the table")
        product = job.folder / f"table.{job.target_format}"
        request = {
            "source": self._sandbox.path_inside(job.folder, job.source),
            "output": self._sandbox.path_inside(job.folder, product),
            "to": job.target_format,
            **chosen,
        }
        await self._program.run(request, folder=job.folder, limits=job.limits, report=job.report)
        return [Product(path=product)]


class CsvToJson(_Tables):
    """Converter of tables to JSON; see `Converter` for what its attributes mean."""

    name = "csv-json"
    sources: tuple[str, ...] = ("csv",)
    targets: tuple[str, ...] = ("json",)
    options: type[msgspec.Struct] = JsonOptions
    loss = 0.05
    losses: tuple[Loss, ...] = ()

    async def convert(self, job: Job) -> list[Product]:
        """One object or list per row, UTF-8."""
        return await self._made(job, {"header": job.options.header, "numbers": job.options.numbers})


class JsonToCsv(_Tables):
    """Converter of lists in JSON to tables; see `Converter` for what its attributes mean."""

    name = "json-csv"
    sources: tuple[str, ...] = ("json",)
    targets: tuple[str, ...] = ("csv",)
    options: type[msgspec.Struct] = CsvOptions
    loss = 0.2
    losses: tuple[Loss, ...] = (
        Loss(text="the difference between text, numbers, true and false, and nothing; lists in cells become text"),
    )

    async def convert(self, job: Job) -> list[Product]:
        """One row per entry, below a header when the entries are objects."""
        return await self._made(job, {"separator": _SEPARATORS[job.options.separator]})
