"""The same done to each of several ids: what fails is told, and the rest goes on."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from converto_cli.session import Session, Usage, status_of, trouble_of
from converto_cli.terminal import exit_codes as exits
from converto_client.errors import ClientError

Record = TypeVar("Record")
Change = Callable[[Session, str], Awaitable[Record | None]]


class Outcome(msgspec.Struct, Generic[Record], kw_only=True):
    """What came back, what went wrong, and the exit status of all of it."""

    records: list[Record] = []
    errors: list[dict[str, Any]] = []
    status: int = exits.OK


async def each(session: Session, ids: Sequence[str], change: Change[Record], *, shown_by: str) -> Outcome[Record]:
    """Do it to each id once; `shown_by` is the command that shows which ids there are."""
    if not ids:
        raise Usage(f"Name at least one id; `{shown_by}` shows them")
    outcome = Outcome[Record]()
    statuses: list[int] = []
    for one in dict.fromkeys(ids):
        try:
            record = await change(session, one)
        except ClientError as error:
            trouble = trouble_of(error, shown_by=shown_by)
            statuses.append(status_of(error))
            outcome.errors.append({"id": one, "error": trouble})
            session.screen.complain(f"{one}: {trouble.message}")
            continue
        statuses.append(exits.OK)
        outcome.records += [record] if record is not None else []
    outcome.status = exits.of_many(statuses)
    return outcome
