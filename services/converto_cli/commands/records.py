"""`converto status`, `list`, `cancel`, `retry` and `delete`: records of conversions, shown and changed."""

import sys
from collections.abc import Sequence
from itertools import islice
from typing import Annotated

from cyclopts import Parameter, validators

from converto_cli.batch import Change, each
from converto_cli.context import Context
from converto_cli.session import Session, Usage, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import moment
from converto_client.models import ConversionRecord

HEADS = ("ID", "STATUS", "%", "FILE", "TO", "CLIENT", "CREATED", "")

Given = Annotated[Context, Parameter(parse=False)]


def status(*ids: Annotated[str, Parameter(help="Ids of conversions.")], context: Given) -> int:
    """Show how conversions stand."""
    return run(context, lambda session: _each(session, ids, lambda here, one: here.client.status(one)))


def cancel(*ids: Annotated[str, Parameter(help="Ids of conversions.")], context: Given) -> int:
    """Stop conversions; a running one stops at its worker's next heartbeat."""
    return run(context, lambda session: _each(session, ids, lambda here, one: here.client.cancel(one)))


def retry(*ids: Annotated[str, Parameter(help="Ids of conversions.")], context: Given) -> int:
    """Run failed, cancelled or expired conversions again."""
    return run(context, lambda session: _each(session, ids, lambda here, one: here.client.retry(one)))


def delete(
    *ids: Annotated[str, Parameter(help="Ids of conversions.")],
    yes: Annotated[bool, Parameter(alias="-y", negative="", help="Do not ask.")] = False,
    context: Given,
) -> int:
    """Remove finished conversions and their results; source files stay."""

    async def remove(session: Session, conversion_id: str) -> None:
        await session.client.delete(conversion_id)
        session.screen.say(f"{conversion_id} deleted")

    async def work(session: Session) -> int:
        if not yes and ids and not _confirmed(session, len(set(ids))):
            session.screen.say("Nothing was deleted.")
            return exits.FAILURE
        return await _each(session, ids, remove)

    return run(context, work)


def list_conversions(
    *,
    status: Annotated[str | None, Parameter(help="One or several statuses, such as failed,cancelled.")] = None,
    client_id: Annotated[str | None, Parameter(help="Only conversions with this label.")] = None,
    limit: Annotated[int, Parameter(alias="-n", validator=validators.Number(gte=1), help="At most this many.")] = 20,
    every: Annotated[bool, Parameter(name="--all", negative="", help="All of them, however many.")] = False,
    context: Given,
) -> int:
    """List conversions, newest first."""

    async def work(session: Session) -> int:
        wanted = [word.strip() for word in (status or "").split(",") if word.strip()]
        records, has_more = await _collect(session, wanted, client_id, None if every else limit)
        session.screen.table(HEADS, [_cells(record) for record in records])
        session.screen.document({"conversions": records, "has_more": has_more})
        if has_more:
            session.screen.say(f"These are the newest {limit}; --limit N or --all shows more.")
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


async def _each(session: Session, ids: Sequence[str], change: Change[ConversionRecord]) -> int:
    outcome = await each(session, ids, change, shown_by="converto list")
    session.screen.table(HEADS, [_cells(record) for record in outcome.records])
    session.screen.document({"ok": not outcome.errors, "conversions": outcome.records, "errors": outcome.errors})
    return outcome.status


def _cells(record: ConversionRecord) -> tuple[str, ...]:
    return (
        record.id,
        record.status,
        f"{record.percent:.0f}",
        record.filename,
        record.target_format,
        record.client_id or "",
        moment(record.created_at),
        record.error.message if record.error else record.stage or "",
    )


def _confirmed(session: Session, count: int) -> bool:
    """Ask on a terminal; without one nobody can answer, so `--yes` has to be there."""
    if not sys.stdin.isatty():
        raise Usage("Deleting cannot be undone; add --yes")
    session.screen.complain(f"Delete {count} conversion(s) and their results? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
