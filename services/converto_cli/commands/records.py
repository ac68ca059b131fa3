"""`converto status`, `list`, `cancel`, `retry` and `delete`."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Annotated

from cyclopts import Parameter, validators

from converto_cli.batch import Change, apply_to_each
from converto_cli.context import Context
from converto_cli.session import Session, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.confirmation import confirmed
from converto_cli.terminal.formatting import local_time
from converto_cli.terminal.password import AskPassword, PasswordFile, read_password
from converto_client.models import ConversionRecord

HEADS = ("ID", "STATUS", "%", "FILE", "TO", "CLIENT", "CREATED", "")

GlobalOptions = Annotated[Context, Parameter(parse=False)]


def status(*ids: Annotated[str, Parameter(help="Ids of conversions.")], context: GlobalOptions) -> int:
    """Show the status of conversions."""
    return run(context, lambda session: _apply(session, ids, session.client.status))


def cancel(*ids: Annotated[str, Parameter(help="Ids of conversions.")], context: GlobalOptions) -> int:
    """Stop conversions; a running one stops at its worker's next heartbeat."""
    return run(context, lambda session: _apply(session, ids, session.client.cancel))


def retry(
    *ids: Annotated[str, Parameter(help="Ids of conversions.")],
    password: AskPassword = False,
    password_file: PasswordFile = None,
    context: GlobalOptions,
) -> int:
    """Run conversions again that failed, were cancelled, expired or lost their result."""

    async def work(session: Session) -> int:
        again = partial(session.client.retry, password=read_password(ask=password, file=password_file))
        return await _apply(session, ids, again)

    return run(context, work)


def delete(
    *ids: Annotated[str, Parameter(help="Ids of conversions.")],
    yes: Annotated[bool, Parameter(alias="-y", negative="", help="Do not ask for confirmation.")] = False,
    context: GlobalOptions,
) -> int:
    """Delete finished conversions and their results; source files stay."""

    async def work(session: Session) -> int:
        async def remove(conversion_id: str) -> None:
            await session.client.delete(conversion_id)
            session.console.info(f"{conversion_id} deleted")

        question = f"Delete {len(set(ids))} conversion(s) and their results?"
        if ids and not yes and not confirmed(session.console, question):
            session.console.info("Nothing was deleted.")
            return exits.FAILURE
        return await _apply(session, ids, remove)

    return run(context, work)


def list_conversions(
    *,
    status: Annotated[str | None, Parameter(help="One or more statuses, such as failed,cancelled.")] = None,
    client_id: Annotated[str | None, Parameter(help="Only conversions with this label.")] = None,
    limit: Annotated[int, Parameter(alias="-n", validator=validators.Number(gte=1), help="At most this many.")] = 20,
    every: Annotated[bool, Parameter(name="--all", negative="", help="All of them.")] = False,
    context: GlobalOptions,
) -> int:
    """List conversions, newest first."""

    async def work(session: Session) -> int:
        wanted = [word.strip() for word in (status or "").split(",") if word.strip()]
        records, has_more = await _collect(session, wanted, client_id, None if every else limit)
        session.console.table(HEADS, [_cells(record) for record in records])
        session.console.document({"conversions": records, "has_more": has_more})
        if has_more:
            session.console.info(f"These are the newest {limit}; --limit N or --all shows more.")
        return exits.OK

    return run(context, work)


async def _collect(
    session: Session, wanted: Sequence[str], client_id: str | None, limit: int | None
) -> tuple[list[ConversionRecord], bool]:
    records: list[ConversionRecord] = []
    after: str | None = None
    while True:
        length = 200 if limit is None else min(200, limit - len(records))
        page = await session.client.page(status=wanted, client_id=client_id, limit=length, after=after)
        records += islice(page.conversions, length)
        after = page.next
        if after is None or len(records) == limit:
            return records, after is not None


async def _apply(session: Session, ids: Sequence[str], change: Change[ConversionRecord]) -> int:
    result = await apply_to_each(session, ids, change, shown_by="converto list")
    session.console.table(HEADS, [_cells(record) for record in result.records])
    session.console.document({"ok": not result.errors, "conversions": result.records, "errors": result.errors})
    return result.status


def _cells(record: ConversionRecord) -> tuple[str, ...]:
    return (
        record.id,
        record.status,
        f"{record.percent:.0f}",
        record.filename,
        record.target_format,
        record.client_id or "",
        local_time(record.created_at),
        record.error.message if record.error else record.stage or "",
    )
