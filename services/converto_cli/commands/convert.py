"""`converto convert`: each file through upload, conversion and download, several at once. It draws and prints nothing
itself and leaves all network to the client."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter, validators

from converto_cli.context import Context
from converto_cli.options import guessed_options, split_options, typed_options
from converto_cli.session import Session, Trouble, Usage, run, status_of, trouble_of
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import stage_text
from converto_cli.terminal.output import size_text
from converto_cli.terminal.progress_bars import Bar, Bars
from converto_client.async_conversion import AsyncConversion
from converto_client.errors import ClientError, WaitTimeout
from converto_client.models import ConversionRecord, Formats
from converto_client.transfers.parallel import for_each


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, the same for every file."""

    target: str
    folder: Path
    options: dict[str, str] = {}
    client_id: str | None = None
    timeout_s: float | None = None
    is_detached: bool = False
    overwrite: bool = False
    is_fresh: bool = False
    append: tuple[Path, ...] = ()


class Row(msgspec.Struct, kw_only=True):
    """How one file fared; this is what --json prints per file."""

    file: str
    appended: list[str] = []
    ok: bool = False
    status: str | None = None
    conversion_id: str | None = None
    outputs: list[str] = []
    seconds: float = 0.0
    error: Trouble | None = None
    conversion: ConversionRecord | None = None


def convert(
    *files: Path,
    to: Annotated[str, Parameter(alias="-t")],
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path(),
    option: Annotated[list[str] | None, Parameter(alias="-O", negative="")] = None,
    client_id: str | None = None,
    jobs: Annotated[int, Parameter(alias="-j", validator=validators.Number(gte=1, lte=64))] = 4,
    timeout: Annotated[float | None, Parameter(validator=validators.Number(gt=0))] = None,
    detach: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    merge: Annotated[bool, Parameter(negative="")] = False,
    fresh: Annotated[bool, Parameter(negative="")] = False,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Convert files and save the results; prints the path of each result.

    A command that was cut short goes on where it ended when it is given again for the same unchanged file.

    Parameters
    ----------
    files
        Files to convert.
    to
        Target format, such as pdf, png or webp.
    output
        Folder for the results; made if missing.
    option
        name=value for the conversion, such as quality=82; may be given several times.
    client_id
        A label of yours on these conversions, to list them by.
    jobs
        How many files are worked on at the same time.
    timeout
        Seconds to wait for each conversion; it goes on at the server after that.
    detach
        Do not wait: print the id of each conversion once its file is uploaded.
    overwrite
        Replace existing files instead of numbering the new ones.
    merge
        Join all files, in the order given, into one result (PDF to PDF).
    fresh
        Run the programs even when the same was converted before.
    """
    order_options = option or []

    async def work(session: Session) -> int:
        order = Order(
            target=to,
            folder=output,
            options=split_options(order_options),
            client_id=client_id,
            timeout_s=timeout,
            is_detached=detach,
            overwrite=overwrite,
            is_fresh=fresh,
            append=files[1:] if merge else (),
        )
        return await Converting(session, order).run(files[:1] if merge else files, jobs=jobs)

    return run(context, work)


class Converting:
    """One run of the command."""

    def __init__(self, session: Session, order: Order) -> None:
        """`order` is the same for every file."""
        self._session = session
        self._order = order
        self._formats: dict[str, Formats] = {}
        self._formats_lock = asyncio.Lock()

    async def run(self, files: Sequence[Path], *, jobs: int) -> int:
        """Convert all files, `jobs` at a time; returns the exit status."""
        if not files:
            raise Usage("Name at least one file to convert")
        rows: dict[Path, tuple[Row, int]] = {}
        with Bars(self._session.screen) as bars:

            async def one(path: Path) -> None:
                rows[path] = await self._tried(path, bars.add(path.name), is_watched=bars.are_live)

            await for_each(dict.fromkeys(files), one, limit=jobs)
        ordered = [rows[path] for path in dict.fromkeys(files)]
        for row, _ in ordered:
            self._tell(row)
        status = exits.of_many([code for _, code in ordered])
        self._session.screen.document({"ok": status == exits.OK, "results": [row for row, _ in ordered]})
        return status

    async def _tried(self, path: Path, bar: Bar, *, is_watched: bool) -> tuple[Row, int]:
        row, started = Row(file=str(path), appended=[str(more) for more in self._order.append]), time.monotonic()
        code = exits.OK
        try:
            await self._convert(path, row, bar, is_watched=is_watched)
            row.ok = True
            bar.end("detached" if self._order.is_detached else "done")
        except (ClientError, OSError) as error:
            row.error, code = trouble_of(error), status_of(error)
            bar.end("failed")
        row.seconds = round(time.monotonic() - started, 3)
        return row, code

    async def _convert(self, path: Path, row: Row, bar: Bar, *, is_watched: bool) -> None:
        """Upload, wait, download; what is known so far stands in `row` whatever happens."""
        options = await self._options_for(path)
        paths = (path, *self._order.append)
        size_bytes = sum([(await asyncio.to_thread(one.stat)).st_size for one in paths])
        bar.begin("uploading", size_bytes)
        conversion = await self._session.client.convert(
            path,
            self._order.target,
            options=options,
            client_id=self._order.client_id,
            fresh=self._order.is_fresh,
            append=self._order.append,
            on_bytes=bar.advance,
        )
        _note(row, conversion.record)
        if self._order.is_detached:
            await conversion.forget()
            return
        try:
            await self._wait(conversion, bar, is_watched=is_watched)
        finally:
            _note(row, conversion.record)
        bar.begin("downloading", sum(output.size_bytes for output in conversion.record.outputs))
        saved = await conversion.save(self._order.folder, overwrite=self._order.overwrite, on_bytes=bar.advance)
        row.outputs = [str(place) for place in saved]

    async def _wait(self, conversion: AsyncConversion, bar: Bar, *, is_watched: bool) -> None:
        if not is_watched:
            await conversion.wait(self._order.timeout_s)
            return
        bar.reach(0, "waiting for a worker")
        await conversion.follow(lambda record: bar.reach(record.percent, stage_text(record)), self._order.timeout_s)

    async def _options_for(self, path: Path) -> dict[str, Any]:
        """The options in the types of this file's route; as they look when only the server can tell the format."""
        if not self._order.options:
            return {}
        extension = path.suffix.lower().lstrip(".")
        if not extension:
            return guessed_options(self._order.options)
        async with self._formats_lock:
            if extension not in self._formats:
                self._formats[extension] = await self._ask_formats(extension)
        routes = self._formats[extension].routes
        if not routes:
            return guessed_options(self._order.options)
        return typed_options(self._order.options, routes[0].options_schema)

    async def _ask_formats(self, extension: str) -> Formats:
        try:
            return await self._session.client.formats(extension, self._order.target)
        except ClientError as error:
            if error.code == "invalid_request":
                return Formats()  # a name the server does not know; creating the conversion tells what is supported
            raise

    def _tell(self, row: Row) -> None:
        screen = self._session.screen
        if row.error is not None:
            screen.complain(f"{row.file}: {row.error.message}{_advice(row)}")
        elif self._order.is_detached:
            screen.result(row.conversion_id or "")
            screen.say(f"{row.file}: accepted; `converto watch {row.conversion_id}` follows it")
        else:
            sizes = sum(output.size_bytes for output in row.conversion.outputs) if row.conversion else 0
            for place in row.outputs:
                screen.result(place)
            where = row.outputs[0] if len(row.outputs) == 1 else f"{len(row.outputs)} files"
            screen.say(f"{row.file} → {where} ({size_text(sizes)}, {row.seconds:.1f} s)")
            for note in row.conversion.notes if row.conversion else ():
                screen.say(f"  note: {note}")


def _note(row: Row, record: ConversionRecord) -> None:
    row.conversion, row.conversion_id, row.status = record, record.id, record.status


def _advice(row: Row) -> str:
    """What to do next, where there is something to do."""
    if row.error is None or row.conversion_id is None:
        return ""
    if row.error.code == WaitTimeout.code:
        return f". `converto watch {row.conversion_id}` follows it, `converto download {row.conversion_id}` fetches it"
    return f" ({row.error.code}, conversion {row.conversion_id})"
