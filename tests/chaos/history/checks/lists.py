"""Lists: a page holds everything in its range that was told before it was asked for, and nothing else than it filters.

A page is judged alone: it covers the ids from its last one (or all older ones, when no page follows) up to `after`.
A filter by status reads along an index while statuses change, so only a status that cannot have changed counts there.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from converto_core.conversion.record import TERMINAL, Status
from tests.chaos.history.call import Call, Outcome, Told
from tests.chaos.history.checks.existence import deletions
from tests.chaos.history.checks.steps import is_within
from tests.chaos.history.history import History, Read
from tests.chaos.history.violation import Kind, Violation

FIELDS = ("client_id", "file_id", "target_format")


class Known(msgspec.Struct, frozen=True):
    """A conversion with the first answer that told it and everything that a list's filter compares."""

    id: str
    first: Call
    told: Told
    reads: list[Read]
    retries: list[Call]
    gone_from_s: float


def check_lists(history: History) -> Iterator[Violation]:
    """Yield conversions that a list lacks or that do not belong into it."""
    by_caller = _by_caller(history)
    for call in history.calls:
        if call.is_for("GET", "/conversions") and call.ended.outcome is Outcome.ANSWERED and call.ended.status == 200:
            yield from _misplaced(call)
            for known in _covered(call, by_caller[call.asked.caller]):
                if _is_expected(known, call):
                    text = f"first told {known.first.end_s:.3f} s, not in the list"
                    yield Violation(Kind.MISSING_IN_LIST, known.id, text, (known.first, call))


def _by_caller(history: History) -> dict[str, list[Known]]:
    """Return what each caller was told of, by id; one caller's conversions do not exist for another."""
    found: dict[str, list[Known]] = defaultdict(list)
    for conversion_id, reads in sorted(history.reads.items()):
        first = min(reads, key=lambda read: read.end_s)
        gone_from_s = min((call.start_s for call in deletions(history, conversion_id)), default=float("inf"))
        known = Known(conversion_id, first.call, first.told, reads, history.retries(conversion_id), gone_from_s)
        found[first.call.asked.caller].append(known)
    return found


def _covered(page: Call, known: list[Known]) -> Iterator[Known]:
    """Yield the conversions in the page's range that are not on it."""
    wanted, listed = page.asked.wanted, {told.id for told in page.ended.told}
    begin = bisect_left(known, page.ended.next or "", key=lambda one: one.id)
    end = bisect_left(known, wanted["after"], key=lambda one: one.id) if "after" in wanted else len(known)
    for one in known[begin:end]:
        if one.id not in listed:
            yield one


def _is_expected(known: Known, page: Call) -> bool:
    wanted = page.asked.wanted
    if known.first.end_s >= page.start_s or known.gone_from_s < page.end_s:
        return False
    if any(name in wanted and getattr(known.told, name) != wanted[name] for name in FIELDS):
        return False
    return "status" not in wanted or _had_status(known, page, _statuses(page))


def _had_status(known: Known, page: Call, statuses: set[Status]) -> bool:
    """Return whether a final status of the filter was told before and after, with no retry that may lie between."""
    before = [read for read in known.reads if read.end_s < page.start_s and read.told.status in statuses & TERMINAL]
    if not before:
        return False
    last = max(before, key=lambda read: read.start_s)
    after = [read for read in known.reads if read.start_s > page.end_s and read.told.status is last.told.status]
    return any(not any(is_within(retry, last, read) for retry in known.retries) for read in after)


def _misplaced(page: Call) -> Iterator[Violation]:
    wanted = page.asked.wanted
    for told in page.ended.told:
        is_other = any(name in wanted and getattr(told, name) != wanted[name] for name in FIELDS)
        if is_other or ("status" in wanted and told.status not in _statuses(page)):
            yield Violation(Kind.WRONG_IN_LIST, told.id, f"{told.status} in a list of {wanted}", (page,))


def _statuses(page: Call) -> set[Status]:
    return {Status(word.strip()) for word in page.asked.wanted["status"].split(",") if word.strip()} or set(Status)
