"""Runs a command: opens the client, and turns its errors into messages and an exit status."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import msgspec

from converto_cli.context import Context
from converto_cli.server import Address, NoServerConfigured, find_server, state_folder
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.output import Console
from converto_client.async_client import AsyncConverto
from converto_client.errors import (
    ClientError,
    ConversionFailed,
    Forbidden,
    NotFound,
    ProblemError,
    ResultLost,
    ServerUnreachable,
    Unauthorized,
    WaitTimeout,
)
from converto_client.retry import Retry
from converto_client.transfers.resume import ResumeStore

_STATUSES: tuple[tuple[type[ClientError], int], ...] = (
    (Unauthorized, exits.AUTHENTICATION),
    (Forbidden, exits.AUTHENTICATION),
    (ConversionFailed, exits.CONVERSION_FAILED),
    (ServerUnreachable, exits.UNREACHABLE),
    (WaitTimeout, exits.TIMED_OUT),
)


class UsageError(Exception):
    """The arguments contradict each other or are incomplete; the message says what to write instead."""


class ErrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """One error, as printed by --json."""

    code: str
    message: str
    retryable: bool = False
    request_id: str | None = None


class Session:
    """What a command uses: client, console and server address."""

    def __init__(self, client: AsyncConverto, console: Console, address: Address) -> None:
        """`client` stays open while the command runs."""
        self.client = client
        self.console = console
        self.address = address


Work = Callable[[Session], Awaitable[int]]


def connect(address: Address) -> AsyncConverto:
    """A client that remembers unfinished uploads in the user's state folder.

    CONVERTO_CLIENT_ATTEMPTS limits how often an unanswered request is sent; raises ValueError.
    """
    attempts = os.environ.get("CONVERTO_CLIENT_ATTEMPTS")
    if attempts is not None and not attempts.isdigit():
        raise ValueError(f"CONVERTO_CLIENT_ATTEMPTS must be a whole number, not {attempts!r}")
    retry = Retry(attempts=int(attempts)) if attempts else Retry()
    return AsyncConverto(address.url, address.api_key, resume=ResumeStore(state_folder()), retry=retry)


def run(context: Context, work: Work) -> int:
    """Open a client and run the command; errors become a message on stderr and an exit status."""
    console = Console(context)
    try:
        return asyncio.run(_with_client(find_server(context), console, work))
    except (UsageError, NoServerConfigured, ValueError) as error:
        return fail(console, ErrorReport(code="usage", message=str(error)), exits.USAGE)
    except ClientError as error:
        return fail(console, report_of(error), exit_status_of(error))
    except OSError as error:
        return fail(console, report_of(error), exits.FAILURE)


async def _with_client(address: Address, console: Console, work: Work) -> int:
    async with connect(address) as client:
        return await work(Session(client, console, address))


def fail(console: Console, report: ErrorReport, status: int) -> int:
    """Print an error, with --json as a document; returns `status`."""
    console.error(f"error: {report.message}")
    console.document({"ok": False, "error": report})
    return status


def exit_status_of(error: Exception) -> int:
    """The exit status for an error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), exits.FAILURE)


def report_of(error: ClientError | OSError, *, shown_by: str = "converto list") -> ErrorReport:
    """The report of an error, with invalid fields and advice; `shown_by` is the command that lists valid ids."""
    if isinstance(error, OSError):
        return ErrorReport(code="file_error", message=f"{error.filename or 'A file'}: {error.strerror or error}")
    request_id = error.request_id if isinstance(error, ProblemError) else None
    return ErrorReport(
        code=error.code, message=_message(error, shown_by), retryable=error.retryable, request_id=request_id
    )


def _message(error: ClientError, shown_by: str) -> str:
    message = str(error)
    if isinstance(error, ProblemError):
        details = [entry for entry in error.errors if entry.message not in message]
        fields = "; ".join(f"{entry.pointer.strip('/')}: {entry.message}".strip(": ") for entry in details)
        message = f"{message} ({fields})" if fields else message
    if isinstance(error, Unauthorized):
        return f"{message}. Set CONVERTO_API_KEY or use --api-key"
    if isinstance(error, Forbidden):
        credential = "key" if error.code == Forbidden.code else "token"
        return f"{message}. Provide such a {credential} with --api-key or CONVERTO_API_KEY"
    if isinstance(error, NotFound):
        return f"{message}. `{shown_by}` lists what exists"
    if isinstance(error, ResultLost):
        return f"{message}. Run `converto retry` with its id, then `converto download`"
    if isinstance(error, ServerUnreachable):
        return f"{message}. Run `converto doctor` for details"
    return message
