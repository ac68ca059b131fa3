"""`converto formats`: the conversions that the server offers, with their options."""

from typing import Annotated

from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.options import expectation
from converto_cli.session import Session, run
from converto_cli.terminal import exit_codes as exits
from converto_client.models import Formats, Route


def formats(
    source: str | None = None,
    /,
    *,
    to: Annotated[str | None, Parameter(alias="-t")] = None,
    sleeping: Annotated[bool, Parameter(negative="")] = False,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Show the available conversions; with a source format, also programs and options.

    Parameters
    ----------
    source
        Source format, such as pptx.
    to
        Only conversions to this target format.
    sleeping
        Include conversions that only stopped workers offer; they wait until one starts.
    """

    async def work(session: Session) -> int:
        found = await session.client.formats(source, to, sleeping=sleeping)
        session.console.document(found)
        if not found.routes:
            session.console.error(_no_route(source, to))
            return exits.FAILURE
        if source is None:
            session.console.table(("FROM", "TO"), _targets_by_source(found))
        else:
            session.console.table(("TO", "BY", "STEPS", "OPTIONS", "LOSES"), [_cells(route) for route in found.routes])
        return exits.OK

    return run(context, work)


def _targets_by_source(found: Formats) -> list[tuple[str, str]]:
    targets: dict[str, set[str]] = {}
    for route in found.routes:
        targets.setdefault(route.source, set()).add(route.target)
    return [(source, " ".join(sorted(targets[source]))) for source in sorted(targets)]


def _cells(route: Route) -> tuple[str, ...]:
    steps = " → ".join([route.source, *(step.target_format for step in route.steps)])
    properties = route.options_schema.get("properties", {})
    options = "; ".join(f"{name}: {expectation(schema)}" for name, schema in properties.items())
    engine = f"{route.engine or route.converter or ''} {route.engine_version or ''}".strip()
    return route.target, engine, steps, options, "; ".join(route.losses)


def _no_route(source: str | None, target: str | None) -> str:
    if source is None and target is None:
        return "No worker offers any conversion yet; run `converto doctor` to see whether one is running"
    return f"No worker converts {source or 'any format'} to {target or 'any format'}"
