"""The status of each conversion: forwards only, by the transitions of the core, back to pending by a retry only."""

from collections.abc import Iterable, Iterator, Mapping

from converto_core.conversion.record import Status
from converto_core.conversion.transitions import TRANSITIONS
from tests.chaos.history.call import Call
from tests.chaos.history.history import CANCEL, History, Read, in_order
from tests.chaos.history.violation import Kind, Violation

RETRIED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})
"""From these only a user's retry leads back to pending; from completed when its result was lost."""


def reachable(steps: Mapping[Status, Iterable[Status]]) -> dict[Status, frozenset[Status]]:
    """Return for each status all that may follow it without a user's retry, itself included."""
    found: dict[Status, frozenset[Status]] = {}
    for status in steps:
        seen, waiting = {status}, [status]
        while waiting:
            at = waiting.pop()
            new = {to for to in steps[at] if to not in seen and not (at in RETRIED and to is Status.PENDING)}
            seen |= new
            waiting += new
        found[status] = frozenset(seen)
    return found


REACHABLE = reachable(TRANSITIONS)


def check_steps(history: History) -> Iterator[Violation]:
    """Yield each answer that contradicts an earlier one, and revivals for which there were too few retries."""
    for conversion_id, reads in history.reads.items():
        judge = _Judge(conversion_id, history)
        yield from judge.judged(in_order(reads))
        for stream in history.streams.get(conversion_id, ()):
            yield from judge.judged(chained(stream))
        yield from _revived_too_often(conversion_id, judge.revivals, history.retries(conversion_id))


def check_cancelled(history: History) -> Iterator[Violation]:
    """Yield conversions told as cancelled before anybody asked to cancel them or to delete their file."""
    for conversion_id, reads in history.reads.items():
        cancelled = [read for read in reads if read.told.status is Status.CANCELLED]
        if not cancelled:
            continue
        first = min(cancelled, key=lambda read: read.end_s)
        asked = history.changes(conversion_id, "POST", CANCEL)
        if first.told.file_id is not None:
            asked += history.changes(first.told.file_id, "DELETE", "/files/{id}")
        if not any(call.start_s < first.end_s for call in asked):
            yield Violation(Kind.CANCELLED_UNASKED, conversion_id, "told as cancelled", (first.call,))


def chained(stream: list[Read]) -> Iterator[tuple[Read, list[Read]]]:
    """Yield each read of a stream with the one before it; a stream is in the order of its record."""
    for number, read in enumerate(stream):
        yield read, stream[max(number - 1, 0) : number]


class _Judge:
    """Judges the reads of one conversion in order, and collects where only a retry can explain them."""

    def __init__(self, conversion_id: str, history: History) -> None:
        self._id, self._retries = conversion_id, history.retries(conversion_id)
        self.revivals: list[tuple[Read, Read]] = []

    def judged(self, order: Iterator[tuple[Read, list[Read]]]) -> Iterator[Violation]:
        """Yield violations. Of earlier answers with the same status, the latest says most."""
        before: dict[Status, Read] = {}
        for read, earlier in order:
            for one in earlier:
                known = before.get(one.told.status)
                if known is None or known.start_s < one.start_s:
                    before[one.told.status] = one
            for one in before.values():
                if why := self._contradiction(one, read):
                    yield Violation(why, self._id, f"told {one}, then {read}", (one.call, read.call))

    def _contradiction(self, before: Read, after: Read) -> Kind | None:
        was, now = before.told, after.told
        if was.status is Status.COMPLETED and now.status is Status.EXPIRED:
            return Kind.EXPIRED_EARLY if _is_early(before, after) else None
        if was.status is Status.COMPLETED and now.status is not Status.COMPLETED:
            return None if self._is_explained(before, after) else Kind.COMPLETED_TAKEN_BACK
        if now.status in REACHABLE[was.status] or self._is_explained(before, after):
            return None
        return Kind.CANCELLED_REVIVED if was.status is Status.CANCELLED else Kind.WENT_BACK

    def _is_explained(self, before: Read, after: Read) -> bool:
        """Return whether a retry between the two answers may be the reason."""
        can_start = before.told.status is not Status.AWAITING_UPLOAD and after.told.status is not Status.AWAITING_UPLOAD
        is_retried = can_start and any(is_within(retry, before, after) for retry in self._retries)
        if is_retried:
            self.revivals.append((before, after))
        return is_retried


def is_within(change: Call, before: Read, after: Read) -> bool:
    """Return whether the effect of a call may lie between two answers."""
    return change.start_s < after.end_s and before.start_s < change.effect_until_s


def _is_early(before: Read, after: Read) -> bool:
    due_ms, told_ms = before.told.expires_at, after.call.ended.wall_ms
    return due_ms is not None and 0 < told_ms < due_ms


def _revived_too_often(
    conversion_id: str, revivals: list[tuple[Read, Read]], retries: list[Call]
) -> Iterator[Violation]:
    """Yield when successive revivals cannot each have a retry of its own: one retry starts a conversion once."""
    apart: list[tuple[Read, Read]] = []
    for before, after in sorted(revivals, key=lambda pair: pair[1].end_s):
        if not apart or apart[-1][1].end_s < before.start_s:
            apart.append((before, after))
    free = sorted(retries, key=lambda retry: retry.effect_until_s)
    for before, after in apart:
        own = next((retry for retry in free if is_within(retry, before, after)), None)
        if own is None:
            text = f"revived {len(apart)} times by {len(retries)} retries"
            yield Violation(Kind.TOO_FEW_RETRIES, conversion_id, text, (before.call, after.call, *retries))
            return
        free.remove(own)
