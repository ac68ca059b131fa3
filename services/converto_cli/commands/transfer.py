"""`converto upload` and `converto download`: transfer files without waiting for a conversion."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.session import Session, UsageError, exit_status_of, report_of, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.output import size_text
from converto_cli.terminal.progress_bars import Bar, Bars
from converto_client.errors import ClientError

Entry = TypeVar("Entry", Path, str)


def upload(
    *files: Path,
    client_id: str | None = None,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Upload files without converting them; prints the id of each.

    Parameters
    ----------
    files
        Files to upload.
    client_id
        Your own label for these files.
    """

    async def work(session: Session) -> int:
        if not files:
            raise UsageError("Provide at least one file to upload")

        async def upload_file(path: Path, bar: Bar) -> dict[str, Any]:
            bar.begin("uploading", (await asyncio.to_thread(path.stat)).st_size)
            record = await session.client.upload(path, client_id=client_id, on_bytes=bar.advance)
            session.console.result(record.id)
            session.console.info(f"{path} uploaded ({size_text(record.size_bytes)})")
            return {"file": record}

        status, rows = await _transfer_all(session, files, upload_file, key="path")
        session.console.document({"ok": status == exits.OK, "files": rows})
        return status

    return run(context, work)


def download(
    *ids: str,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path(),
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Save the results of conversions; prints the path of each result.

    Parameters
    ----------
    ids
        Ids of completed conversions.
    output
        Folder for the results; created if missing.
    overwrite
        Overwrite existing files instead of numbering the new ones.
    """

    async def work(session: Session) -> int:
        if not ids:
            raise UsageError("Provide at least one conversion id")

        async def download_results(conversion_id: str, bar: Bar) -> dict[str, Any]:
            conversion = await session.client.conversion(conversion_id)
            bar.begin("downloading", sum(result.size_bytes for result in conversion.record.outputs))
            saved = await conversion.save(output, overwrite=overwrite, on_bytes=bar.advance)
            for path in saved:
                session.console.result(str(path))
            return {"outputs": [str(path) for path in saved]}

        status, rows = await _transfer_all(session, ids, download_results, key="id")
        session.console.document({"ok": status == exits.OK, "downloads": rows})
        return status

    return run(context, work)


async def _transfer_all(
    session: Session, entries: Iterable[Entry], transfer: Callable[[Entry, Bar], Awaitable[dict[str, Any]]], *, key: str
) -> tuple[int, list[dict[str, Any]]]:
    """Transfer each distinct entry with a bar; returns the exit status and one JSON row for each entry."""
    rows: list[dict[str, Any]] = []
    statuses: list[int] = []
    with Bars(session.console) as bars:
        for entry in dict.fromkeys(entries):
            bar = bars.add(entry.name if isinstance(entry, Path) else entry)
            try:
                rows.append({key: str(entry), **await transfer(entry, bar)})
                statuses.append(exits.OK)
                bar.end("done")
            except BrokenPipeError:
                raise  # whoever reads our output is gone
            except (ClientError, OSError) as error:
                bar.end("failed")
                rows.append({key: str(entry), "error": report_of(error)})
                statuses.append(exit_status_of(error))
                session.console.error(f"{entry}: {report_of(error).message}")
    return exits.of_many(statuses), rows
