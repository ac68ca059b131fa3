"""Asks before an action that cannot be undone."""

import sys

from converto_cli.session import UsageError
from converto_cli.terminal.output import Console


def confirmed(console: Console, question: str) -> bool:
    """Ask on a terminal; raises `UsageError` without one."""
    if not sys.stdin.isatty():
        raise UsageError("This cannot be undone; add --yes to confirm")
    console.error(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
