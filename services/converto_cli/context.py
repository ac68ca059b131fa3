"""What was given on the command line for all commands alike. It imports nothing heavy, so that `--help` stays quick."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Context:
    """The global options."""

    server: str | None = None
    api_key: str | None = field(default=None, repr=False)
    is_json: bool = False
    is_quiet: bool = False
