"""`converto history`: what happened to one conversion, attempt by attempt."""

from typing import Annotated

from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.session import Session, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import moment
from converto_client.models import HistoryEntry

HEADS = ("#", "WHEN", "WHAT", "STATUS", "ATTEMPT", "LANE", "WORKER", "")


def history(
    conversion_id: Annotated[str, Parameter(help="Id of a conversion.")],
    /,
    *,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Show what happened to a conversion, oldest first: each start, each failure and its reason, each lost worker."""

    async def work(session: Session) -> int:
        found = await session.client.history(conversion_id)
        session.screen.table(HEADS, [_cells(entry) for entry in found.history])
        session.screen.document(found)
        if found.missing:
            session.screen.say(f"{found.missing} entries were lost with a process that was killed.")
        return exits.OK

    return run(context, work)


def _cells(entry: HistoryEntry) -> tuple[str, ...]:
    return (
        str(entry.number),
        moment(entry.at),
        entry.event.replace("_", " "),
        entry.status,
        str(entry.attempt),
        entry.lane,
        entry.worker or "",
        entry.message or "",
    )
