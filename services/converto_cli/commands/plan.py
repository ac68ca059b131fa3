"""`converto plan`: how a conversion would go, before anything is uploaded."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.options import expectation, guessed_options, split_options
from converto_cli.session import Session, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import range_text
from converto_cli.terminal.output import Screen
from converto_client.models import Plan


def plan(
    source: str,
    /,
    *,
    to: Annotated[str, Parameter(alias="-t")],
    option: Annotated[list[str] | None, Parameter(alias="-O", negative="")] = None,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Show how a conversion would go: its steps and options, how long it takes here, and what it does not keep.

    Parameters
    ----------
    source
        A file, of which only the name counts, or a format such as pptx.
    to
        Target format, such as pdf, png or webp.
    option
        name=value, to see whether it fits; may be given several times.
    """

    async def work(session: Session) -> int:
        options = guessed_options(split_options(option or ()))
        name = PurePath(source).name
        chosen = {"filename": name} if "." in name.lstrip(".") else {"source": name.lstrip(".")}
        made = await session.client.plan(to, options=options, **chosen)
        session.screen.document(made)
        _show(session.screen, made)
        return exits.OK

    return run(context, work)


def _show(screen: Screen, made: Plan) -> None:
    for number, step in enumerate(made.steps, start=1):
        engine = f"{step.engine} {step.engine_version}".strip()
        screen.result(f"step {number}   {step.source_format} → {step.target_format} by {engine}")
    basis = (
        f"from {made.expected.based_on} earlier ones here" if made.expected.based_on else "a guess: none ran here yet"
    )
    screen.result(f"time     {range_text(made.expected)} ({basis})")
    for loss in made.losses or ("nothing that is known",):
        screen.result(f"loses    {loss}")
    for name, schema in made.options_schema.get("properties", {}).items():
        screen.result(f"option   {name}: {expectation(schema)}{_meaning(schema)}")


def _meaning(schema: Mapping[str, Any]) -> str:
    """What an option is for, where its schema says so; an option that may be left out says it in its alternatives."""
    said = [entry.get("description") for entry in (schema, *schema.get("anyOf", ()))]
    return next((f" ({text})" for text in said if text), "")
