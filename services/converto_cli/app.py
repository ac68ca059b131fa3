"""The command tree. A command's module is imported only when it runs, which keeps `converto --help` fast."""

import functools
from importlib import metadata
from typing import Annotated

from cyclopts import App, Group, Parameter

from converto_cli.context import Context

COMMANDS = (
    ("convert", "converto_cli.commands.convert:convert", "Convert files and save the results."),
    ("upload", "converto_cli.commands.transfer:upload", "Upload files without converting them."),
    ("status", "converto_cli.commands.records:status", "Show the status of conversions."),
    ("history", "converto_cli.commands.history:history", "Show the history of a conversion."),
    ("list", "converto_cli.commands.records:list_conversions", "List conversions, newest first."),
    ("watch", "converto_cli.commands.watch:watch", "Follow one conversion live until it ends."),
    ("download", "converto_cli.commands.transfer:download", "Download the results of conversions."),
    ("cancel", "converto_cli.commands.records:cancel", "Stop conversions."),
    (
        "retry",
        "converto_cli.commands.records:retry",
        "Run conversions again that failed, were cancelled, expired or lost their result.",
    ),
    ("delete", "converto_cli.commands.records:delete", "Delete finished conversions and their results."),
    ("formats", "converto_cli.commands.formats:formats", "Show the available conversions and their options."),
    ("plan", "converto_cli.commands.plan:plan", "Preview a conversion: its steps, duration and losses."),
    (
        "doctor",
        "converto_cli.commands.doctor:doctor",
        "Check server, key, dependencies and workers, and suggest fixes.",
    ),
)
DEAD_LETTER_COMMANDS = (
    ("list", "converto_cli.commands.dead_letters:list_dead_letters", "List dead letters."),
    ("show", "converto_cli.commands.dead_letters:show", "Show one dead letter, its cause and what to do."),
    ("requeue", "converto_cli.commands.dead_letters:requeue", "Publish new messages for the conversions now."),
    ("drop", "converto_cli.commands.dead_letters:drop", "Delete dead letters; conversions stay as they are."),
)
EXIT_STATUSES = (
    "Exit status: 0 ok, 1 failure, 2 usage, 3 some failed, 4 key refused, 5 conversion failed, "
    "6 server unreachable, 7 wait timed out, 130 Ctrl-C."
)

_EVERYWHERE = Group("Global options", sort_key=9)
_Switch = Parameter(group=_EVERYWHERE, negative="", show_default=False)
Server = Annotated[str | None, Parameter(group=_EVERYWHERE, help="Server URL (default: CONVERTO_SERVER_URL)")]
ApiKey = Annotated[str | None, Parameter(group=_EVERYWHERE, help="API key or access token (default: CONVERTO_API_KEY)")]
Json = Annotated[bool, _Switch, Parameter(help="Print one JSON document")]
Quiet = Annotated[bool, _Switch, Parameter(alias="-q", help="Print errors only")]


@functools.cache  # stateless, and building it takes longer than most commands
def build_app() -> App:
    """All commands behind one launcher that accepts global options before and after the command."""
    app = App(
        name="converto",
        help="Convert files with a converto server. Results go to stdout, messages to stderr.",
        help_epilogue=EXIT_STATUSES,
        help_format="plaintext",
        version=version_text,
        suppress_keyboard_interrupt=False,
    )
    app.meta.suppress_keyboard_interrupt = False
    for name, target, text in COMMANDS:
        app.command(target, name=name, help=text)
    app.command(_administration())
    app.command(version, help="Show the version.")

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        server: Server = None,
        api_key: ApiKey = None,
        json: Json = False,
        quiet: Quiet = False,
    ) -> object:
        context = Context(server=server, api_key=api_key, is_json=json, is_quiet=quiet)
        command, bound, ignored = app.parse_args(tokens, exit_on_error=False)
        if "context" in ignored:
            bound.arguments["context"] = context
        return command(*bound.args, **bound.kwargs)

    return app.meta


def _administration() -> App:
    """`converto admin …`, for administrators' keys."""
    admin = App(name="admin", help="Administer an installation; needs an administrator's key.")
    parked = App(name="parked", help="Dead letters: messages that no worker could process.")
    for name, target, text in DEAD_LETTER_COMMANDS:
        parked.command(target, name=name, help=text)
    admin.command(parked)
    return admin


def version_text() -> str:
    """`converto 0.1.0`."""
    try:
        return f"converto {metadata.version('converto')}"
    except metadata.PackageNotFoundError:
        return "converto (running from source, not installed)"


def version() -> int:
    """Show the version."""
    print(version_text())  # noqa: T201 - the result of this command
    return 0
