"""`converto history`: the events of one conversion, attempt by attempt."""

from typing import Annotated

from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.session import Session, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import local_time
from converto_client.models import HistoryEntry

HEADS = ("#", "WHEN", "WHAT", "STATUS", "ATTEMPT", "LANE", "WORKER", "")


def history(
    conversion_id: Annotated[str, Parameter(help="Id of a conversion.")],
    /,
    *,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Show the history of a conversion, oldest first: each start, each failure with its reason, each lost worker."""

    async def work(session: Session) -> int:
        found = await session.client.history(conversion_id)
        session.console.table(HEADS, [_cells(entry) for entry in found.history])
        session.console.document(found)
        if found.missing:
            session.console.info(f"{found.missing} entries were lost when a process was killed.")
        return exits.OK

    return run(context, work)


def _cells(entry: HistoryEntry) -> tuple[str, ...]:
    return (
        str(entry.number),
        local_time(entry.at),
        entry.event.replace("_", " "),
        entry.status,
        str(entry.attempt),
        entry.lane,
        entry.worker or "",
        entry.message or "",
    )
