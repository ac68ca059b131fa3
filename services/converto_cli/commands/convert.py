"""`converto convert`: uploads, converts and downloads files, several at the same time."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter, validators

from converto_cli.context import Context
from converto_cli.options import guessed_options, split_options, typed_options
from converto_cli.session import ErrorReport, Session, UsageError, exit_status_of, report_of, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import stage_text
from converto_cli.terminal.output import size_text
from converto_cli.terminal.password import AskPassword, PasswordFile, read_password
from converto_cli.terminal.progress_bars import Bar, Bars
from converto_client.async_conversion import AsyncConversion
from converto_client.errors import ClientError, WaitTimeout
from converto_client.models import ConversionRecord, Formats
from converto_client.transfers.parallel import for_each


class ConvertRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was requested, the same for every file."""

    target: str
    folder: Path
    options: dict[str, str] = {}
    client_id: str | None = None
    timeout_s: float | None = None
    is_detached: bool = False
    overwrite: bool = False
    is_fresh: bool = False
    append: tuple[Path, ...] = ()
    password: str | None = None


class FileResult(msgspec.Struct, kw_only=True):
    """The result of one file, as printed by --json."""

    file: str
    appended: list[str] = []
    ok: bool = False
    status: str | None = None
    conversion_id: str | None = None
    outputs: list[str] = []
    seconds: float = 0.0
    error: ErrorReport | None = None
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
    password: AskPassword = False,
    password_file: PasswordFile = None,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Convert files and save the results; prints the path of each result.

    An interrupted command resumes when it is run again for the same, unchanged file.

    Parameters
    ----------
    files
        Files to convert.
    to
        Target format, such as pdf, png or webp.
    output
        Folder for the results; created if missing.
    option
        Option of the conversion as name=value, such as quality=82; repeatable.
    client_id
        Your own label for these conversions, to list them by.
    jobs
        Number of files processed at the same time.
    timeout
        Seconds to wait for each conversion; it continues on the server after that.
    detach
        Do not wait; print the id of each conversion once its file is uploaded.
    overwrite
        Overwrite existing files instead of numbering the new ones.
    merge
        Join all files, in the given order, into one result (PDF to PDF).
    fresh
        Convert again even when the result is cached.
    """

    async def work(session: Session) -> int:
        request = ConvertRequest(
            target=to,
            folder=output,
            options=split_options(option or []),
            client_id=client_id,
            timeout_s=timeout,
            is_detached=detach,
            overwrite=overwrite,
            is_fresh=fresh,
            append=files[1:] if merge else (),
            password=read_password(ask=password, file=password_file),
        )
        return await ConvertRun(session, request).run(files[:1] if merge else files, jobs=jobs)

    return run(context, work)


class ConvertRun:
    """One run of the command over all files."""

    def __init__(self, session: Session, request: ConvertRequest) -> None:
        self._session = session
        self._request = request
        self._formats: dict[str, Formats] = {}
        self._formats_lock = asyncio.Lock()

    async def run(self, files: Sequence[Path], *, jobs: int) -> int:
        """Convert all files, `jobs` at a time; returns the exit status."""
        if not files:
            raise UsageError("Provide at least one file to convert")
        rows: dict[Path, tuple[FileResult, int]] = {}
        with Bars(self._session.console) as bars:

            async def convert_file(path: Path) -> None:
                rows[path] = await self._report_errors(path, bars.add(path.name), is_watched=bars.are_live)

            await for_each(dict.fromkeys(files), convert_file, limit=jobs)
        ordered = [rows[path] for path in dict.fromkeys(files)]
        for row, _ in ordered:
            self._report(row)
        status = exits.of_many([code for _, code in ordered])
        self._session.console.document({"ok": status == exits.OK, "results": [row for row, _ in ordered]})
        return status

    async def _report_errors(self, path: Path, bar: Bar, *, is_watched: bool) -> tuple[FileResult, int]:
        row, started = (
            FileResult(file=str(path), appended=[str(more) for more in self._request.append]),
            time.monotonic(),
        )
        code = exits.OK
        try:
            await self._convert(path, row, bar, is_watched=is_watched)
            row.ok = True
            bar.end("detached" if self._request.is_detached else "done")
        except (ClientError, OSError) as error:
            row.error, code = report_of(error), exit_status_of(error)
            bar.end("failed")
        row.seconds = round(time.monotonic() - started, 3)
        return row, code

    async def _convert(self, path: Path, row: FileResult, bar: Bar, *, is_watched: bool) -> None:
        """Upload, wait, download; `row` holds what is known so far, also after an error."""
        options = await self._options_for(path)
        paths = (path, *self._request.append)
        size_bytes = sum([(await asyncio.to_thread(part.stat)).st_size for part in paths])
        bar.begin("uploading", size_bytes)
        conversion = await self._session.client.convert(
            path,
            self._request.target,
            options=options,
            client_id=self._request.client_id,
            fresh=self._request.is_fresh,
            append=self._request.append,
            password=self._request.password,
            on_bytes=bar.advance,
        )
        _update(row, conversion.record)
        if self._request.is_detached:
            await conversion.forget()
            return
        try:
            await self._wait(conversion, bar, is_watched=is_watched)
        finally:
            _update(row, conversion.record)
        bar.begin("downloading", sum(output.size_bytes for output in conversion.record.outputs))
        saved = await conversion.save(self._request.folder, overwrite=self._request.overwrite, on_bytes=bar.advance)
        row.outputs = [str(result) for result in saved]

    async def _wait(self, conversion: AsyncConversion, bar: Bar, *, is_watched: bool) -> None:
        if not is_watched:
            await conversion.wait(self._request.timeout_s)
            return
        bar.reach(0, "waiting for a worker")
        await conversion.follow(lambda record: bar.reach(record.percent, stage_text(record)), self._request.timeout_s)

    async def _options_for(self, path: Path) -> dict[str, Any]:
        """The options in the types of this file's route; guessed when only the server can detect the format."""
        if not self._request.options:
            return {}
        extension = path.suffix.lower().lstrip(".")
        if not extension:
            return guessed_options(self._request.options)
        async with self._formats_lock:
            if extension not in self._formats:
                self._formats[extension] = await self._ask_formats(extension)
        routes = self._formats[extension].routes
        if not routes:
            return guessed_options(self._request.options)
        return typed_options(self._request.options, routes[0].options_schema)

    async def _ask_formats(self, extension: str) -> Formats:
        try:
            return await self._session.client.formats(extension, self._request.target)
        except ClientError as error:
            if error.code == "invalid_request":
                return Formats()  # an unknown format name; the answer to the conversion lists what is supported
            raise

    def _report(self, row: FileResult) -> None:
        console = self._session.console
        if row.error is not None:
            console.error(f"{row.file}: {row.error.message}{_advice(row)}")
        elif self._request.is_detached:
            console.result(row.conversion_id or "")
            console.info(f"{row.file}: accepted; follow it with `converto watch {row.conversion_id}`")
        else:
            sizes = sum(output.size_bytes for output in row.conversion.outputs) if row.conversion else 0
            for path in row.outputs:
                console.result(path)
            where = row.outputs[0] if len(row.outputs) == 1 else f"{len(row.outputs)} files"
            console.info(f"{row.file} → {where} ({size_text(sizes)}, {row.seconds:.1f} s)")
            for note in row.conversion.notes if row.conversion else ():
                console.info(f"  note: {note}")


def _update(row: FileResult, record: ConversionRecord) -> None:
    row.conversion, row.conversion_id, row.status = record, record.id, record.status


def _advice(row: FileResult) -> str:
    """What to do next, if anything."""
    if row.error is None or row.conversion_id is None:
        return ""
    if row.error.code == WaitTimeout.code:
        return f". `converto watch {row.conversion_id}` follows it, `converto download {row.conversion_id}` saves it"
    return f" ({row.error.code}, conversion {row.conversion_id})"
