"""`converto watch`: follows one conversion until it ends."""

from typing import Annotated

from cyclopts import Parameter, validators

from converto_cli.context import Context
from converto_cli.session import Session, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import stage_text
from converto_cli.terminal.progress_bars import Bars
from converto_client.models import ConversionRecord


def watch(
    conversion_id: Annotated[str, Parameter(name="id")],
    /,
    *,
    timeout: Annotated[float | None, Parameter(validator=validators.Number(gt=0))] = None,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Follow one conversion live until it ends: a bar on a terminal, one line per change in a pipe.

    With --json each change is one line of JSON.

    Parameters
    ----------
    conversion_id
        Id of a conversion.
    timeout
        Maximum seconds to watch.
    """

    async def work(session: Session) -> int:
        return await _watch(session, conversion_id, timeout)

    return run(context, work)


async def _watch(session: Session, conversion_id: str, timeout_s: float | None) -> int:
    conversion = await session.client.conversion(conversion_id)
    with Bars(session.console) as bars:
        bar = bars.add(conversion.record.filename or conversion_id)

        def show(record: ConversionRecord) -> None:
            bar.reach(record.percent, stage_text(record))
            session.console.line(record)
            if not bars.are_live:
                session.console.row((f"{record.percent:.0f}", record.status, record.stage or ""))

        await conversion.follow(show, timeout_s)
        bar.end(conversion.record.status)
    session.console.info(f"Save the result with `converto download {conversion_id}`")
    return exits.OK
