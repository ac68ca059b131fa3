"""Applies one change to several ids; a failure is reported and the rest continues."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from converto_cli.session import Session, UsageError, exit_status_of, report_of
from converto_cli.terminal import exit_codes as exits
from converto_client.errors import ClientError

Record = TypeVar("Record")
Change = Callable[[str], Awaitable[Record | None]]


class BatchResult(msgspec.Struct, Generic[Record], kw_only=True):
    """The changed records, the errors, and the exit status for all."""

    records: list[Record] = []
    errors: list[dict[str, Any]] = []
    status: int = exits.OK


async def apply_to_each(
    session: Session, ids: Sequence[str], change: Change[Record], *, shown_by: str
) -> BatchResult[Record]:
    """Apply the change to each distinct id; `shown_by` is the command that lists the ids."""
    if not ids:
        raise UsageError(f"Provide at least one id; `{shown_by}` lists them")
    result = BatchResult[Record]()
    statuses: list[int] = []
    for record_id in dict.fromkeys(ids):
        try:
            record = await change(record_id)
        except ClientError as error:
            report = report_of(error, shown_by=shown_by)
            statuses.append(exit_status_of(error))
            result.errors.append({"id": record_id, "error": report})
            session.console.error(f"{record_id}: {report.message}")
            continue
        statuses.append(exits.OK)
        result.records += [record] if record is not None else []
    result.status = exits.of_many(statuses)
    return result
