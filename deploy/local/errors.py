"""Errors of the laptop stack, with messages for the person at the terminal.

StackError
├── PortInUse        another program listens there
├── ProgramMissing   a server is not installed
├── AlreadyRunning   a stack of this folder runs and is healthy
├── StartFailed      a part ended or did not become healthy in time
└── SupervisorGone   the supervisor does not answer
"""

from pathlib import Path


class StackError(Exception):
    """Base of all errors here; the message says what failed and what to do."""


class PortInUse(StackError):
    """A port of the stack is in use."""

    def __init__(self, *, name: str, port: int, owner: str, variable: str) -> None:
        by = f" by {owner}" if owner else ""
        super().__init__(
            f"Port {port} for {name} is in use{by}. "
            f"Stop that program, or choose another port: {variable}={port + 1} make up"
        )


class ProgramMissing(StackError):
    """A program of the stack is not installed."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is not installed. `make setup` installs it or names the package.")


class AlreadyRunning(StackError):
    """The stack of this state folder is already running."""

    def __init__(self, url: str) -> None:
        super().__init__(f"converto is already running at {url}. `make down` stops it.")
        self.url = url


class StartFailed(StackError):
    """A part of the stack did not start; the message includes the end of its log."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"{name} {reason}. Its log is {log}\n{tail_of(log)}".rstrip())


class SupervisorGone(StackError):
    """supervisord does not answer."""


def tail_of(log: Path, *, lines: int = 12) -> str:
    """The last lines of a log, indented; empty without a log."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 64 * 1024))
        text = stream.read().decode("utf-8", "replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
