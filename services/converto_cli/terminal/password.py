"""Reads the password of encrypted files; never from the command line, which other users of the machine see."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from converto_cli.session import UsageError

STDIN = "-"

AskPassword = Annotated[
    bool, Parameter(name="--password", negative="", help="Ask for the password of encrypted files, without echo.")
]
PasswordFile = Annotated[
    str | None,
    Parameter(
        allow_leading_hyphen=True,
        help="Read the password of encrypted files from the first line of a file; - reads it from stdin.",
    ),
]


def read_password(*, ask: bool, file: str | None) -> str | None:
    """The password that these options give; raises `UsageError` when it is empty or cannot be asked for."""
    if ask and file is not None:
        raise UsageError("Use one of --password and --password-file")
    if file is not None:
        return _checked(_first_line(file))
    if not ask:
        return None
    if not sys.stdin.isatty():
        raise UsageError("--password asks on a terminal; without one, use --password-file PATH (- for stdin)")
    return _checked(getpass.getpass("Password of the files: ", stream=sys.stderr))


def _first_line(file: str) -> str:
    try:
        if file == STDIN:
            return sys.stdin.readline().rstrip("\r\n")
        with Path(file).open(encoding="utf-8") as lines:
            return lines.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError("The password must be text in UTF-8") from error


def _checked(password: str) -> str:
    if not password:
        raise UsageError("The password is empty")
    return password
