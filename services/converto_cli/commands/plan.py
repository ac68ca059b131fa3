"""`converto plan`: previews a conversion before anything is uploaded."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

from cyclopts import Parameter

from converto_cli.context import Context
from converto_cli.options import expectation, guessed_options, split_options
from converto_cli.session import Session, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import range_text
from converto_cli.terminal.output import Console
from converto_client.models import Plan


def plan(
    source: str,
    /,
    *,
    to: Annotated[str, Parameter(alias="-t")],
    option: Annotated[list[str] | None, Parameter(alias="-O", negative="")] = None,
    context: Annotated[Context, Parameter(parse=False)],
) -> int:
    """Preview a conversion: its steps and options, how long it takes here, and what the result loses.

    Parameters
    ----------
    source
        A file name (the file is not read) or a format such as pptx.
    to
        Target format, such as pdf, png or webp.
    option
        Option to check, as name=value; repeatable.
    """

    async def work(session: Session) -> int:
        options = guessed_options(split_options(option or ()))
        name = PurePath(source).name
        chosen = {"filename": name} if "." in name.lstrip(".") else {"source": name.lstrip(".")}
        made = await session.client.plan(to, options=options, **chosen)
        session.console.document(made)
        _show(session.console, made)
        return exits.OK

    return run(context, work)


def _show(console: Console, made: Plan) -> None:
    for number, step in enumerate(made.steps, start=1):
        engine = f"{step.engine} {step.engine_version}".strip()
        console.result(f"step {number}   {step.source_format} → {step.target_format} by {engine}")
    basis = (
        f"from {made.expected.based_on} earlier conversions here"
        if made.expected.based_on
        else "a guess: none has run here yet"
    )
    console.result(f"time     {range_text(made.expected)} ({basis})")
    for loss in made.losses or ("nothing known",):
        console.result(f"loses    {loss}")
    for name, schema in made.options_schema.get("properties", {}).items():
        console.result(f"option   {name}: {expectation(schema)}{_meaning(schema)}")


def _meaning(schema: Mapping[str, Any]) -> str:
    """The description in an option's schema; an optional one has it in one of its alternatives."""
    descriptions = [entry.get("description") for entry in (schema, *schema.get("anyOf", ()))]
    return next((f" ({text})" for text in descriptions if text), "")
