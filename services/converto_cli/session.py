"""One run of a command: the client, the screen, and every error of the client as words and an exit status."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import msgspec

from converto_cli.context import Context
from converto_cli.server import Address, NoServerKnown, find_server, state_folder
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.output import Screen
from converto_client.async_client import AsyncConverto
from converto_client.errors import (
    ClientError,
    ConversionFailed,
    Forbidden,
    NotFound,
    ProblemError,
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


class Usage(Exception):
    """The command line asks for something that cannot be meant; the message says what to write instead."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One error as JSON output tells it."""

    code: str
    message: str
    retryable: bool = False
    request_id: str | None = None


class Session:
    """What a command works with."""

    def __init__(self, client: AsyncConverto, screen: Screen, address: Address) -> None:
        """`client` is open for as long as the command runs."""
        self.client = client
        self.screen = screen
        self.address = address


Work = Callable[[Session], Awaitable[int]]


def connect(address: Address) -> AsyncConverto:
    """A client that remembers unfinished uploads in the user's state folder.

    CONVERTO_CLIENT_ATTEMPTS says how often a request that got no answer is sent in all; raises ValueError.
    """
    attempts = os.environ.get("CONVERTO_CLIENT_ATTEMPTS")
    if attempts is not None and not attempts.isdigit():
        raise ValueError(f"CONVERTO_CLIENT_ATTEMPTS has to be a whole number, not {attempts!r}")
    retry = Retry(attempts=int(attempts)) if attempts else Retry()
    return AsyncConverto(address.url, address.api_key, resume=ResumeStore(state_folder()), retry=retry)


def run(context: Context, work: Work) -> int:
    """Open a client, do the work, turn errors into words on stderr and an exit status."""
    screen = Screen(context)
    try:
        return asyncio.run(_with_client(find_server(context), screen, work))
    except (Usage, NoServerKnown, ValueError) as error:
        return fail(screen, Trouble(code="usage", message=str(error)), exits.USAGE)
    except ClientError as error:
        return fail(screen, trouble_of(error), status_of(error))
    except OSError as error:
        return fail(screen, trouble_of(error), exits.FAILURE)


async def _with_client(address: Address, screen: Screen, work: Work) -> int:
    async with connect(address) as client:
        return await work(Session(client, screen, address))


def fail(screen: Screen, trouble: Trouble, status: int) -> int:
    """Say what went wrong, also as JSON when that is asked for; returns `status`."""
    screen.complain(f"error: {trouble.message}")
    screen.document({"ok": False, "error": trouble})
    return status


def status_of(error: Exception) -> int:
    """The exit status that an error stands for."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), exits.FAILURE)


def trouble_of(error: ClientError | OSError, *, shown_by: str = "converto list") -> Trouble:
    """An error as JSON output tells it, with the fields at fault and what to do; `shown_by` shows the ids there are."""
    if isinstance(error, OSError):
        return Trouble(code="file_error", message=f"{error.filename or 'A file'}: {error.strerror or error}")
    request_id = error.request_id if isinstance(error, ProblemError) else None
    return Trouble(code=error.code, message=_words(error, shown_by), retryable=error.retryable, request_id=request_id)


def _words(error: ClientError, shown_by: str) -> str:
    message = str(error)
    if isinstance(error, ProblemError):
        news = [entry for entry in error.errors if entry.message not in message]
        fields = "; ".join(f"{entry.pointer.strip('/')}: {entry.message}".strip(": ") for entry in news)
        message = f"{message} ({fields})" if fields else message
    if isinstance(error, Unauthorized):
        return f"{message}. Set CONVERTO_API_KEY, or give --api-key"
    if isinstance(error, Forbidden):
        return f"{message}. Give such a key with --api-key or CONVERTO_API_KEY"
    if isinstance(error, NotFound):
        return f"{message}. `{shown_by}` shows what there is"
    if isinstance(error, ServerUnreachable):
        return f"{message}. `converto doctor` tells more"
    return message
