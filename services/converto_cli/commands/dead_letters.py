"""`converto admin parked list`, `show`, `requeue` and `drop`: dead letters."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from cyclopts import Parameter, validators

from converto_cli.batch import apply_to_each
from converto_cli.context import Context
from converto_cli.session import Session, UsageError, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.confirmation import confirmed
from converto_cli.terminal.formatting import local_time
from converto_cli.terminal.output import Console
from converto_client.admin_models import ConversionThen, DeadLetter, DeadLettersHandled, DeadLetterSummary, Refusal

HEADS = ("ID", "REASON", "DIED", "QUEUE", "CONVERSION", "WAS", "")
LIST = "converto admin parked list"

GlobalOptions = Annotated[Context, Parameter(parse=False)]
Ids = Annotated[str, Parameter(help="Ids of dead letters.")]
Every = Annotated[bool, Parameter(name="--all", negative="", help="All of them.")]
Reason = Annotated[
    str | None, Parameter(help="Only this reason: unreadable, rejected, delivery_limit, expired, maxlen or unknown.")
]
Page = Callable[..., Awaitable[DeadLettersHandled]]


def list_dead_letters(
    *,
    reason: Reason = None,
    conversion: Annotated[str | None, Parameter(help="Only those of this conversion.")] = None,
    limit: Annotated[int, Parameter(alias="-n", validator=validators.Number(gte=1), help="At most this many.")] = 20,
    every: Every = False,
    context: GlobalOptions,
) -> int:
    """List dead letters, newest first."""

    async def work(session: Session) -> int:
        found: list[DeadLetterSummary] = []
        after: str | None = None
        while every or len(found) < limit:
            length = 200 if every else min(200, limit - len(found))
            page = await session.client.admin.parked(reason=reason, conversion_id=conversion, limit=length, after=after)
            found += page.messages
            after = page.next
            if after is None:
                break
        session.console.table(HEADS, [_cells(message) for message in found])
        session.console.document({"messages": found, "has_more": after is not None})
        if not found:
            session.console.info("There are no dead letters.")
        if after is not None:
            session.console.info(f"These are the newest {limit}; --limit N or --all shows more.")
        return exits.OK

    return run(context, work)


def show(message_id: Annotated[str, Parameter(help="Id of a dead letter.")], /, *, context: GlobalOptions) -> int:
    """Show one dead letter: its cause, the state of its conversion, and what to do."""

    async def work(session: Session) -> int:
        result = await apply_to_each(session, [message_id], session.client.admin.parked_message, shown_by=LIST)
        for message in result.records:
            _show(session.console, message)
            session.console.document(message)
        if result.errors:
            session.console.document({"ok": False, **result.errors[0]})
        return result.status

    return run(context, work)


def requeue(*ids: Ids, every: Every = False, reason: Reason = None, context: GlobalOptions) -> int:
    """Publish new messages for the conversions now, and delete the dead letters.

    A waiting conversion gets a new message later anyway; this sends it at once. The old message is not reused.
    """

    async def work(session: Session) -> int:
        if _all_or_ids(ids, every=every, reason=reason):
            return await _handle_all(session, session.client.admin.requeue_many_parked, reason, "requeued")
        return await _handle(session, ids, session.client.admin.requeue_parked, "requeued")

    return run(context, work)


def drop(
    *ids: Ids,
    every: Every = False,
    reason: Reason = None,
    yes: Annotated[bool, Parameter(alias="-y", negative="", help="Do not ask for confirmation.")] = False,
    context: GlobalOptions,
) -> int:
    """Delete dead letters; their conversions stay as they are. --all asks first."""

    async def work(session: Session) -> int:
        if not _all_or_ids(ids, every=every, reason=reason):
            return await _handle(session, ids, session.client.admin.drop_parked, "dropped")
        if not yes and not confirmed(session.console, f"Drop all dead letters{f' ({reason})' if reason else ''}?"):
            session.console.info("Nothing was dropped.")
            return exits.FAILURE
        return await _handle_all(session, session.client.admin.drop_many_parked, reason, "dropped")

    return run(context, work)


def _all_or_ids(ids: Sequence[str], *, every: bool, reason: str | None) -> bool:
    """Whether --all was given; raises `UsageError` for contradictory arguments."""
    if every and ids:
        raise UsageError("Use either ids or --all, not both")
    if reason is not None and not every:
        raise UsageError("--reason requires --all")
    return every


async def _handle(session: Session, ids: Sequence[str], change: Callable[[str], Awaitable[Any]], word: str) -> int:
    async def handle(message_id: str) -> str:
        await change(message_id)
        session.console.info(f"{message_id} {word}")
        return message_id

    result = await apply_to_each(session, ids, handle, shown_by=LIST)
    session.console.document({"ok": not result.errors, word: result.records, "errors": result.errors})
    return result.status


async def _handle_all(session: Session, handle_page: Page, reason: str | None, word: str) -> int:
    """Page by page; refused messages are kept and reported."""
    count = 0
    refusals: list[Refusal] = []
    after: str | None = None
    while True:
        page = await handle_page(reason=reason, after=after)
        count += page.settled
        refusals += page.refusals
        for refusal in page.refusals:
            session.console.error(f"{refusal.id}: {refusal.message}")
        if page.next is None:
            break
        after = page.next
    session.console.result(f"{count} {word}, {len(refusals)} left")
    session.console.document({"ok": not refusals, word: count, "refusals": refusals})
    if not refusals:
        return exits.OK
    return exits.SOME_FAILED if count else exits.FAILURE


def _cells(message: DeadLetterSummary) -> tuple[str, ...]:
    return (
        message.id,
        message.reason,
        local_time(message.died_at),
        message.queue or message.routing_key,
        message.conversion_id or "",
        message.conversion_then.status if message.conversion_then else "",
        message.explanation,
    )


def _show(console: Console, message: DeadLetter) -> None:
    kept = "the beginning, " if message.is_truncated else ""
    form = f"{kept}base64" if message.is_binary else f"{kept}text"
    lines = (
        ("id", message.id),
        ("reason", f"{message.reason}: {message.explanation}"),
        ("broker", message.verdict or "gave no reason"),
        ("died", local_time(message.died_at)),
        ("queue", message.queue or "none: published directly to the dead letters"),
        ("key", message.routing_key),
        ("message", message.message_id or "no id"),
        ("conversion", message.conversion_id or "unknown"),
        ("was", _state(message.conversion_then)),
        ("is now", _state(message.conversion_now)),
        ("to do", message.advice),
        ("size", f"{message.size_bytes} bytes"),
        ("body", f"({form}) {message.body}"),
    )
    for name, text in lines:
        console.result(f"{name:<11}{text}")


def _state(conversion: ConversionThen | None) -> str:
    if conversion is None:
        return "unknown"
    error = f", last error {conversion.error_code}: {conversion.error_message}" if conversion.error_code else ""
    return f"{conversion.status} (token {conversion.token}){error}"
