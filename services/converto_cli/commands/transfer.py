"""`converto upload` and `converto download`: bytes to the server and back, without waiting for a conversion."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.session import Session, Usage, run, status_of, trouble_of
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.output import size_text
from converto_cli.terminal.progress_bars import Bars
from converto_client.errors import ClientError


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
        A label of yours on these files.
    """

    async def work(session: Session) -> int:
        if not files:
            raise Usage("Name at least one file to upload")
        return await _upload_all(session, files, client_id)

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
        Folder for the results; made if missing.
    overwrite
        Replace existing files instead of numbering the new ones.
    """

    async def work(session: Session) -> int:
        if not ids:
            raise Usage("Name at least one conversion id")
        return await _download_all(session, ids, output, overwrite=overwrite)

    return run(context, work)


async def _upload_all(session: Session, files: tuple[Path, ...], client_id: str | None) -> int:
    rows: list[dict[str, Any]] = []
    statuses: list[int] = []
    with Bars(session.screen) as bars:
        for path in dict.fromkeys(files):
            bar = bars.add(path.name)
            try:
                bar.begin("uploading", (await asyncio.to_thread(path.stat)).st_size)
                record = await session.client.upload(path, client_id=client_id, on_bytes=bar.advance)
            except (ClientError, OSError) as error:
                bar.end("failed")
                rows.append({"path": str(path), "error": trouble_of(error)})
                statuses.append(status_of(error))
                session.screen.complain(f"{path}: {trouble_of(error).message}")
                continue
            bar.end("done")
            rows.append({"path": str(path), "file": record})
            statuses.append(exits.OK)
            session.screen.result(record.id)
            session.screen.say(f"{path} uploaded ({size_text(record.size_bytes)})")
    status = exits.of_many(statuses)
    session.screen.document({"ok": status == exits.OK, "files": rows})
    return status


async def _download_all(session: Session, ids: tuple[str, ...], folder: Path, *, overwrite: bool) -> int:
    rows: list[dict[str, Any]] = []
    statuses: list[int] = []
    with Bars(session.screen) as bars:
        for conversion_id in dict.fromkeys(ids):
            bar = bars.add(conversion_id)
            try:
                conversion = await session.client.conversion(conversion_id)
                bar.begin("downloading", sum(output.size_bytes for output in conversion.record.outputs))
                saved = await conversion.save(folder, overwrite=overwrite, on_bytes=bar.advance)
            except (ClientError, OSError) as error:
                bar.end("failed")
                rows.append({"id": conversion_id, "error": trouble_of(error)})
                statuses.append(status_of(error))
                session.screen.complain(f"{conversion_id}: {trouble_of(error).message}")
                continue
            bar.end("done")
            rows.append({"id": conversion_id, "outputs": [str(path) for path in saved]})
            statuses.append(exits.OK)
            for path in saved:
                session.screen.result(str(path))
    status = exits.of_many(statuses)
    session.screen.document({"ok": status == exits.OK, "downloads": rows})
    return status
