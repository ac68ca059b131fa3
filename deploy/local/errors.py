"""What can go wrong with the laptop stack, in words for the person at the terminal.

StackError
├── PortInUse        somebody else listens there
├── ProgramMissing   a server is not installed
├── AlreadyRunning   a stack of this folder runs and is healthy
├── StartFailed      a part ended, or was not healthy in time
└── SupervisorGone   the supervisor does not answer
"""

from pathlib import Path


class StackError(Exception):
    """Something a person has to know; the text says what failed and what to do."""


class PortInUse(StackError):
    """A port that the stack needs is taken."""

    def __init__(self, *, name: str, port: int, owner: str, variable: str) -> None:
        by = f" by {owner}" if owner else ""
        super().__init__(
            f"Port {port} for {name} is in use{by}. "
            f"Stop that program, or choose another port: {variable}={port + 1} make up"
        )


class ProgramMissing(StackError):
    """A program of the stack is not installed."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is not installed. `make setup` installs it, or says which package has it.")


class AlreadyRunning(StackError):
    """The stack of this state folder is up."""

    def __init__(self, url: str) -> None:
        super().__init__(f"converto is already running at {url}. `make down` stops it.")
        self.url = url


class StartFailed(StackError):
    """A part of the stack did not start; the end of its log is in the text."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"{name} {reason}. Its log is {log}\n{tail_of(log)}".rstrip())


class SupervisorGone(StackError):
    """The process that holds the stack together does not answer."""


def tail_of(log: Path, *, lines: int = 12) -> str:
    """The last lines of a log, indented; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 64 * 1024))
        text = stream.read().decode("utf-8", "replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
