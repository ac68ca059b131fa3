"""The global options. Imports nothing heavy, which keeps `--help` fast."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Context:
    """The global options."""

    server: str | None = None
    api_key: str | None = field(default=None, repr=False)
    is_json: bool = False
    is_quiet: bool = False
