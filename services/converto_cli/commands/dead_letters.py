"""`converto admin parked list`, `show`, `requeue` and `drop`: messages that the broker set aside."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from cyclopts import Parameter, validators

from converto_cli.batch import each
from converto_cli.context import Context
from converto_cli.session import Session, Usage, run
from converto_cli.terminal import exit_codes as exits
from converto_cli.terminal.formatting import moment
from converto_cli.terminal.output import Screen
from converto_client.admin_models import ConversionThen, DeadLetter, DeadLettersHandled, DeadLetterSummary, Refusal

HEADS = ("ID", "REASON", "DIED", "QUEUE", "CONVERSION", "WAS", "")
LIST = "converto admin parked list"

Given = Annotated[Context, Parameter(parse=False)]
Ids = Annotated[str, Parameter(help="Ids of parked messages.")]
Every = Annotated[bool, Parameter(name="--all", negative="", help="All of them.")]
Reason = Annotated[
    str | None, Parameter(help="Only those: unreadable, rejected, delivery_limit, expired, maxlen or unknown.")
]
Page = Callable[..., Awaitable[DeadLettersHandled]]


def list_parked(
    *,
    reason: Reason = None,
    conversion: Annotated[str | None, Parameter(help="Only those of this conversion.")] = None,
    limit: Annotated[int, Parameter(alias="-n", validator=validators.Number(gte=1), help="At most this many.")] = 20,
    every: Every = False,
    context: Given,
) -> int:
    """List messages that the broker set aside, the last first."""

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
        session.screen.table(HEADS, [_cells(message) for message in found])
        session.screen.document({"messages": found, "has_more": after is not None})
        if not found:
            session.screen.say("No message is parked.")
        if after is not None:
            session.screen.say(f"These are the last {limit}; --limit N or --all shows more.")
        return exits.OK

    return run(context, work)


def show(message_id: Annotated[str, Parameter(help="Id of a parked message.")], /, *, context: Given) -> int:
    """Show one message: why it was set aside, what became of its conversion, and what to do."""

    async def look(session: Session, one: str) -> DeadLetter:
        return await session.client.admin.parked_message(one)

    async def work(session: Session) -> int:
        outcome = await each(session, [message_id], look, shown_by=LIST)
        for message in outcome.records:
            _show(session.screen, message)
            session.screen.document(message)
        if outcome.errors:
            session.screen.document({"ok": False, **outcome.errors[0]})
        return outcome.status

    return run(context, work)


def requeue(*ids: Ids, every: Every = False, reason: Reason = None, context: Given) -> int:
    """Wake the conversions of messages now, and forget the messages.

    A conversion that waits is woken again by itself later; this does it at once. The old bytes are not sent again.
    """

    async def one(session: Session, message_id: str) -> DeadLetter:
        return await session.client.admin.requeue_parked(message_id)

    async def work(session: Session) -> int:
        if _all_or_ids(ids, every=every, reason=reason):
            return await _settle_all(session, session.client.admin.requeue_many_parked, reason, "requeued")
        return await _settle(session, ids, one, "requeued")

    return run(context, work)


def drop(
    *ids: Ids,
    every: Every = False,
    reason: Reason = None,
    yes: Annotated[bool, Parameter(alias="-y", negative="", help="Do not ask.")] = False,
    context: Given,
) -> int:
    """Forget messages; their conversions stay as they are. With --all it asks first."""

    async def one(session: Session, message_id: str) -> None:
        await session.client.admin.drop_parked(message_id)

    async def work(session: Session) -> int:
        if not _all_or_ids(ids, every=every, reason=reason):
            return await _settle(session, ids, one, "dropped")
        if not yes and not _confirmed(session, reason):
            session.screen.say("Nothing was dropped.")
            return exits.FAILURE
        return await _settle_all(session, session.client.admin.drop_many_parked, reason, "dropped")

    return run(context, work)


def _all_or_ids(ids: Sequence[str], *, every: bool, reason: str | None) -> bool:
    """True when all are meant; raises `Usage` for what could mean both or nothing."""
    if every and ids:
        raise Usage("Give ids or --all, not both")
    if reason is not None and not every:
        raise Usage("--reason goes with --all")
    return every


async def _settle(
    session: Session, ids: Sequence[str], change: Callable[[Session, str], Awaitable[Any]], word: str
) -> int:
    async def settle(here: Session, one: str) -> str:
        await change(here, one)
        here.screen.say(f"{one} {word}")
        return one

    outcome = await each(session, ids, settle, shown_by=LIST)
    session.screen.document({"ok": not outcome.errors, word: outcome.records, "errors": outcome.errors})
    return outcome.status


async def _settle_all(session: Session, settle_page: Page, reason: str | None, word: str) -> int:
    """Page after page; what is refused stays and is told."""
    count = 0
    refusals: list[Refusal] = []
    after: str | None = None
    while True:
        page = await settle_page(reason=reason, after=after)
        count += page.settled
        refusals += page.refusals
        for refusal in page.refusals:
            session.screen.complain(f"{refusal.id}: {refusal.message}")
        if page.next is None:
            break
        after = page.next
    session.screen.result(f"{count} {word}, {len(refusals)} left")
    session.screen.document({"ok": not refusals, word: count, "refusals": refusals})
    if not refusals:
        return exits.OK
    return exits.SOME_FAILED if count else exits.FAILURE


def _cells(message: DeadLetterSummary) -> tuple[str, ...]:
    return (
        message.id,
        message.reason,
        moment(message.died_at),
        message.queue or message.routing_key,
        message.conversion_id or "",
        message.conversion_then.status if message.conversion_then else "",
        message.explanation,
    )


def _show(screen: Screen, message: DeadLetter) -> None:
    kept = "the beginning, " if message.is_truncated else ""
    form = f"{kept}base64" if message.is_binary else f"{kept}text"
    lines = (
        ("id", message.id),
        ("reason", f"{message.reason}: {message.explanation}"),
        ("broker", message.verdict or "did not say why"),
        ("died", moment(message.died_at)),
        ("queue", message.queue or "none: it came straight to the dead letters"),
        ("key", message.routing_key),
        ("message", message.message_id or "without an id"),
        ("conversion", message.conversion_id or "none that can be told"),
        ("was", _state(message.conversion_then)),
        ("is now", _state(message.conversion_now)),
        ("to do", message.advice),
        ("size", f"{message.size_bytes} bytes"),
        ("body", f"({form}) {message.body}"),
    )
    for name, text in lines:
        screen.result(f"{name:<11}{text}")


def _state(conversion: ConversionThen | None) -> str:
    if conversion is None:
        return "not known"
    error = f", last error {conversion.error_code}: {conversion.error_message}" if conversion.error_code else ""
    return f"{conversion.status} (token {conversion.token}){error}"


def _confirmed(session: Session, reason: str | None) -> bool:
    """Ask on a terminal; without one nobody can answer, so `--yes` has to be there."""
    if not sys.stdin.isatty():
        raise Usage("Dropping cannot be undone; add --yes")
    session.screen.complain(f"Drop all parked messages{f' ({reason})' if reason else ''}? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
