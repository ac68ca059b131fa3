"""Existence of conversions and files: found once accepted, until a DELETE; then 404 for ever."""

from collections.abc import Iterator

from tests.chaos.history.call import Call, Outcome
from tests.chaos.history.history import CONVERSION, History
from tests.chaos.history.violation import Kind, Violation

FILE = "/files/{id}"
SELF_OR_BELOW = "{number}"
"""A 404 of a numbered output says nothing about its conversion."""


def check_existence(history: History) -> Iterator[Violation]:
    """Yield answers that tell a deleted record, a record after its 404, or a 404 that no DELETE explains."""
    for record_id in {*history.named, *history.reads}:
        yield from _Existence(record_id, history).violations()


def deletions(history: History, conversion_id: str) -> list[Call]:
    """Return the DELETE calls of a conversion that may have had an effect."""
    return history.changes(conversion_id, "DELETE", CONVERSION)


class _Existence:
    """What the calls say about the existence of one record, by the end or the start of the call."""

    def __init__(self, record_id: str, history: History) -> None:
        self._id = record_id
        naming = history.naming(record_id)
        self._found = [read.call for read in history.reads.get(record_id, ())]
        self._found += [call for call in naming if call.is_done and call.asked.method != "DELETE"]
        self._absent = [call for call in naming if _says_absent(call)]
        self._deletes = [
            call for call in naming if call.asked.method == "DELETE" and call.may_have_done and _is_whole(call)
        ]

    def violations(self) -> Iterator[Violation]:
        """Yield at most one violation of each kind."""
        if not self._found:
            return
        deleted = min((call for call in self._deletes if call.is_done), key=lambda call: call.end_s, default=None)
        latest = max(self._found, key=lambda call: call.start_s)
        if deleted is not None and latest.start_s > deleted.end_s:
            yield Violation(Kind.TOLD_AFTER_DELETE, self._id, "deleted, then told", (deleted, latest))
        first = min(self._found, key=lambda call: call.end_s)
        missed = [call for call in self._absent if call.start_s > first.end_s]
        if missed:
            yield from self._after_missing(first, min(missed, key=lambda call: call.end_s), latest)

    def _after_missing(self, first: Call, missed: Call, latest: Call) -> Iterator[Violation]:
        if not any(call.start_s < missed.end_s for call in self._deletes):
            yield Violation(Kind.VANISHED, self._id, "told, then 404 without a DELETE", (first, missed))
        if latest.start_s > missed.end_s:
            yield Violation(Kind.CAME_BACK, self._id, "404, then told", (first, missed, latest))


def _is_whole(call: Call) -> bool:
    return call.asked.path in (CONVERSION, FILE)


def _says_absent(call: Call) -> bool:
    is_404 = call.ended.outcome is Outcome.ANSWERED and call.ended.status == 404 and not call.ended.is_replayed
    return is_404 and SELF_OR_BELOW not in call.asked.path and call.asked.method != "DELETE"
