"""`converto formats`: what this server makes of what, and with which options."""

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
    """Show what can be converted into what; with a source format also programs and options.

    Parameters
    ----------
    source
        Source format, such as pptx.
    to
        Only ways to this target format.
    sleeping
        Also what only workers offer that are not running now; such conversions wait for one.
    """

    async def work(session: Session) -> int:
        found = await session.client.formats(source, to, sleeping=sleeping)
        session.screen.document(found)
        if not found.routes:
            session.screen.complain(_nothing(source, to))
            return exits.FAILURE
        if source is None:
            session.screen.table(("FROM", "TO"), _targets_by_source(found))
        else:
            session.screen.table(("TO", "BY", "STEPS", "OPTIONS", "LOSES"), [_cells(route) for route in found.routes])
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


def _nothing(source: str | None, target: str | None) -> str:
    if source is None and target is None:
        return "No worker offers anything yet; `converto doctor` tells whether one is running"
    return f"No worker offers a way from {source or 'anything'} to {target or 'anything'}"
